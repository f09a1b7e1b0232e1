"""Which store of artifacts a process has, from what it was told. Nothing is opened before it is used."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from orchestrator.artifacts.port import ArtifactStore
from orchestrator.domain.errors import NotConfigured

StoreKind = Literal["local", "s3", "supabase"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the settings say; None is not set."""

    kind: StoreKind
    folder: Path
    bucket_prefix: str
    signs: bool
    s3_endpoint: str | None
    s3_region: str
    s3_access_key_id: SecretStr | None
    s3_secret_access_key: SecretStr | None
    supabase_url: str | None
    supabase_key: SecretStr | None


def choose(choice: Choice) -> ArtifactStore:
    """Raises NotConfigured for the first thing that the chosen store lacks: a variable, or its package."""
    # Imported here: the settings are read by processes that keep no files.
    match choice.kind:
        case "local":
            from orchestrator.artifacts.folder import FolderArtifacts

            return FolderArtifacts(choice.folder)
        case "s3":
            from orchestrator.artifacts.s3 import S3Artifacts

            keys = _s3_keys(choice)
            return S3Artifacts(choice.s3_endpoint, choice.s3_region, keys, choice.bucket_prefix, choice.signs)
        case "supabase":
            from orchestrator.artifacts.supabase import SupabaseArtifacts

            if choice.supabase_url is None:
                raise _lack("SUPABASE_URL")
            key = _revealed(choice.supabase_key, "SUPABASE_SERVICE_ROLE_KEY")
            if find_spec("storage3") is None:  # looked up, not imported
                fix = "to local or s3, or install what supabase needs: pip install 'aurea-orchestrator[supabase]'"
                raise NotConfigured("AUREA_ARTIFACTS", fix)
            return SupabaseArtifacts(choice.supabase_url, key, choice.bucket_prefix, choice.signs)


def _s3_keys(choice: Choice) -> tuple[str, str] | None:
    """At AWS a machine may have a role instead; elsewhere asking for one would only take long."""
    if choice.s3_endpoint is None and choice.s3_access_key_id is None and choice.s3_secret_access_key is None:
        return None
    return (
        _revealed(choice.s3_access_key_id, "AUREA_ARTIFACTS_ACCESS_KEY_ID"),
        _revealed(choice.s3_secret_access_key, "AUREA_ARTIFACTS_SECRET_ACCESS_KEY"),
    )


def _revealed(secret: SecretStr | None, variable: str) -> str:
    if secret is None:
        raise _lack(variable)
    return secret.get_secret_value()


def _lack(variable: str) -> NotConfigured:
    return NotConfigured(variable, "as well: AUREA_ARTIFACTS names a store that needs it")
