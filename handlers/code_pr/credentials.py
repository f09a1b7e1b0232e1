"""Who code_pr is on GitHub: a token, or an installation of a GitHub App whose tokens live for an hour.

Installation tokens are kept in the memory of this process, each for one repository, and are made anew before they
expire. Nothing here is written, told or shown: a token only ever stands in the header of a request to GitHub.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from handlers.code_pr.refusals import GitHubRefused, refuse, server_time
from orchestrator.sdk import Config, Terminal

if TYPE_CHECKING:
    import httpx2

DEFAULT_API = "https://api.github.com"
APP_VARIABLES = ("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_INSTALLATION_ID")
RENEW_BEFORE_SECONDS = 300.0
NEEDED = ("contents", "pull_requests")
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


@dataclass(frozen=True, slots=True)
class Token:
    """A personal or any other ready token."""

    text: str = field(repr=False)

    @property
    def tells_permissions(self) -> bool:
        """Whether GitHub's `permissions` of a repository speak of this token; for an installation's they do not."""
        return not self.text.startswith("ghs_")


@dataclass(frozen=True, slots=True)
class App:
    id: str
    installation_id: str
    private_key: str = field(repr=False)

    @property
    def tells_permissions(self) -> bool:
        return False


Credentials = Token | App


def api_of(config: Config) -> str:
    return (config.get("GITHUB_API_URL") or DEFAULT_API).rstrip("/")


def credentials_of(config: Config) -> Credentials:
    """Return the token where there is one, else the app. Raises Terminal naming the variables that are missing."""
    token = config.get("GITHUB_TOKEN")
    if token is not None:
        return Token(token.strip())
    found = [config.get(name) for name in APP_VARIABLES]
    if not any(found):
        raise Terminal(
            f"set GITHUB_TOKEN, or {', '.join(APP_VARIABLES)}, in the environment of the worker: this task needs it"
        )
    for name in APP_VARIABLES:
        config.require(name)
    app_id, private_key, installation_id = map(str, found)
    # One line with \n spelled out is how a key with many lines is often put into a variable.
    return App(app_id.strip(), installation_id.strip(), private_key.replace("\\n", "\n"))


@dataclass(frozen=True, slots=True)
class _Minted:
    text: str = field(repr=False)
    renew_at: float
    """On the clock of the event loop, which no one sets."""


_minted: dict[tuple[str, str, str], _Minted] = {}


async def token_for(
    http: "httpx2.AsyncClient", api: str, credentials: Credentials, repository: str, attempt: int
) -> str:
    """Return a token that is good for some minutes. Raises what `refuse` says."""
    if isinstance(credentials, Token):
        return credentials.text
    key = (api, credentials.installation_id, repository.lower())
    held = _minted.get(key)
    if held is None or held.renew_at <= asyncio.get_running_loop().time():
        held = _minted[key] = await _mint(http, api, credentials, repository, attempt)
    return held.text


def forget_token(api: str, credentials: Credentials, repository: str) -> bool:
    """Drop a token that GitHub refused; whether a new one can be had."""
    if isinstance(credentials, Token):
        return False
    return _minted.pop((api, credentials.installation_id, repository.lower()), None) is not None


async def _mint(http: "httpx2.AsyncClient", api: str, app: App, repository: str, attempt: int) -> _Minted:
    asked_at = asyncio.get_running_loop().time()
    # The app's own token is good by GitHub's clock. Any answer shows it, and this one counts against no limit.
    now = server_time(await http.get(f"{api}/rate_limit", headers=HEADERS))
    answer = await http.post(
        f"{api}/app/installations/{app.installation_id}/access_tokens",
        headers={**HEADERS, "Authorization": f"Bearer {_sign(app, now)}"},
        json={"repositories": [repository.partition("/")[2]]},
    )
    if answer.status_code != 201:
        raise _unminted(answer, app, repository, attempt)
    made: dict[str, Any] = answer.json()
    lacking = [name for name in NEEDED if made.get("permissions", {}).get(name) != "write"]
    if lacking:
        raise Terminal(
            f"the GitHub App {app.id} has not the permission to write {' and '.join(lacking)}:"
            " give it that, and accept the change in its installation"
        )
    lifetime = datetime.fromisoformat(made["expires_at"]).timestamp() - now
    return _Minted(made["token"], asked_at + lifetime - RENEW_BEFORE_SECONDS)


def _sign(app: App, now: float) -> str:
    import jwt

    claims = {"iat": int(now) - 60, "exp": int(now) + 540, "iss": app.id}
    try:
        return jwt.encode(claims, _parsed(app.private_key), algorithm="RS256")
    except (ValueError, TypeError, jwt.InvalidKeyError):
        raise Terminal("GITHUB_APP_PRIVATE_KEY is not an RSA private key in PEM form: set it anew") from None


@lru_cache(maxsize=8)
def _parsed(private_key: str) -> Any:
    """Read a key once: reading checks it, and nothing else runs in this process for those 30 ms."""
    from jwt.algorithms import RSAAlgorithm

    return RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(private_key)


def _unminted(answer: "httpx2.Response", app: App, repository: str, attempt: int) -> Exception:
    error = refuse(answer, f"get a token for the installation {app.installation_id}", attempt)
    if not isinstance(error, GitHubRefused):
        return error
    if error.status_code == 401:
        advice = f"GITHUB_APP_PRIVATE_KEY does not belong to the app {app.id}: set GITHUB_APP_ID and the key anew"
    elif error.status_code == 404:
        advice = f"the app {app.id} has no installation {app.installation_id}: correct GITHUB_APP_INSTALLATION_ID"
    elif error.status_code == 422:
        advice = f"the installation {app.installation_id} does not include {repository}: add it there"
    else:
        advice = f"see to the installation {app.installation_id} of the app {app.id}"
    return Terminal(f"{advice} (GitHub answered {error.status_code}: {error.said})")
