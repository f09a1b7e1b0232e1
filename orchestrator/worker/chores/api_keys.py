"""The chores that keep the stores at one about API keys: what was revoked without Postgres, and the copies."""

from orchestrator.operations import api_keys
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore


def chores(runtime: Runtime) -> list[Chore]:
    async def bring() -> bool:
        await api_keys.bring_revocations(runtime)
        return False

    async def compare() -> bool:
        await api_keys.compare_copies(runtime)
        return False

    return [Chore("revocations", 1.0, bring), Chore("key_copies", 60.0, compare)]
