"""A part that is told no addresses joins the system that `aurea up` runs in AUREA_HOME."""

from collections.abc import Sequence

from pydantic import SecretStr

from orchestrator.embedded.home import Home
from orchestrator.embedded.servers import urls_of_running
from orchestrator.settings import Settings


def joined(settings: Settings, needed: Sequence[str] = ("database_url", "redis_url")) -> Settings:
    """Return the settings with what is not set taken from the running system, its token included.

    Raises NotStarted when something `needed` is not set and nothing runs.
    """
    if all(getattr(settings, name) for name in needed):
        return settings
    home = Home(settings.aurea_home)
    found = {name.lower(): SecretStr(url) for name, url in urls_of_running(home).items()}
    if token := home.kept_token():
        found["aurea_api_token"] = SecretStr(token)
    return settings.model_copy(update={name: url for name, url in found.items() if getattr(settings, name) is None})
