"""What a worker's bench offers its attempts through operations: steps, locks, files and models."""

from collections.abc import Mapping, Sequence

from orchestrator import crash
from orchestrator.domain.errors import BudgetExceeded, NotConfigured
from orchestrator.domain.ids import Fence
from orchestrator.domain.steps import Step
from orchestrator.domain.subscription import Signed, SubscriptionId
from orchestrator.domain.task import Claim
from orchestrator.operations import artifact, generate, lock
from orchestrator.operations.purse import Purse
from orchestrator.operations.record import begin_steps, load_steps, save_step
from orchestrator.operations.sign import sign
from orchestrator.runtime import Runtime
from orchestrator.sdk import Artifact, ModelReply, ModelRequest
from orchestrator.sdk.artifact import Bucket
from orchestrator.worker.bench import Listener, Postponed
from orchestrator.worker.recorder import Recorder


class KeptSteps:
    """The steps of tasks, as operations keep them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def load(self, claim: Claim) -> Mapping[str, Step]:
        return await load_steps(self._runtime, claim.entry.tenant, claim.entry.id)

    async def begin(self, claim: Claim, steps: Sequence[Step]) -> Mapping[str, Step]:
        _need_postgres(self._runtime, "to call tasks or to sleep")
        return await begin_steps(self._runtime, claim, steps)

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        crash.at("stepping")
        kept = await save_step(self._runtime, claim, name, result)
        crash.at("stepped")
        return kept


class Services:
    """Locks, files, signatures and models."""

    def __init__(self, runtime: Runtime, purse: Purse, recorder: Recorder) -> None:
        self._runtime = runtime
        self._purse = purse
        self._recorder = recorder

    async def take_lock(self, claim: Claim, name: str) -> Fence | None:
        _need_postgres(self._runtime, "to hold locks")
        return await lock.take(self._runtime, claim, name)

    async def release_lock(self, claim: Claim, name: str) -> None:
        await lock.release(self._runtime, claim, name)

    async def keep_artifact(self, claim: Claim, name: str, data: bytes, content_type: str, bucket: Bucket) -> Artifact:
        _need_postgres(self._runtime, "to store files")
        return await artifact.keep(self._runtime, claim, name, data, content_type, bucket)

    async def sign(self, claim: Claim, subscription: str | None, event_id: str, body: bytes) -> Signed:
        _need_postgres(self._runtime, "to sign webhooks")
        wanted = None if subscription is None else SubscriptionId(subscription)
        return await sign(self._runtime, claim, wanted, event_id, body)

    async def generate(
        self, claim: Claim, step: str, request: ModelRequest, listener: Listener
    ) -> ModelReply | Postponed:
        _need_postgres(self._runtime, "to pay for models")

        await self._recorder.recorded(claim)  # only what is on record may reserve
        try:
            return await generate.generate(
                self._runtime, self._purse, claim, step, request, listener.grow, listener.note
            )
        except BudgetExceeded as exceeded:
            if request.on_budget == "wait" and exceeded.resets_at is not None:
                return Postponed(exceeded.resets_at, f"{exceeded}; the task waits until then")
            raise


def _need_postgres(runtime: Runtime, purpose: str) -> None:
    """An isolated worker has none; raises NotConfigured."""
    if runtime.standby.isolated:
        raise NotConfigured("DATABASE_URL", f"on the worker {purpose}: an isolated worker cannot")
