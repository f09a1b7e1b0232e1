"""How each provider is reached: its key, its address, its model."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Access:
    """One provider, as it is configured."""

    provider: str
    model: str
    """The one that is meant when none is named."""
    key: SecretStr | None = None
    base_url: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked: it has a key, or may need none."""
        return self.key is not None or self.is_own_server

    @property
    def is_own_server(self) -> bool:
        """Whether a server of one's own stands in OpenAI's place."""
        if self.provider != "openai" or self.base_url is None:
            return False
        return not (urlsplit(self.base_url).hostname or "").endswith(".openai.com")

    @property
    def variable(self) -> str:
        """The name of the variable that holds the key."""
        return f"{self.provider.upper()}_API_KEY"
