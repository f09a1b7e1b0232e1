"""Signing: an event gets its address and its signatures at the moment it goes.

So what was changed meanwhile (a subscription deleted, disabled, given a new secret) counts for what still waits, and
no secret stands in a task.
"""

from orchestrator.domain.subscription import CALLBACKS, Signed, SubscriptionId
from orchestrator.domain.task import Claim
from orchestrator.operations.patience import patiently
from orchestrator.runtime import Runtime


async def sign(
    runtime: Runtime, claim: Claim, subscription: SubscriptionId | None, event_id: str, body: bytes
) -> Signed:
    """Return where a body goes and the headers that prove it; waits while Postgres is away.

    Without a subscription it is signed with the tenant's own secret for callback URLs. Raises NotConfigured where there
    is no master secret.
    """
    tenant, ledger, signer = claim.entry.tenant, runtime.ledger, runtime.signer
    signer.check()
    if subscription is None:
        generation = await patiently(runtime.clock, lambda: ledger.callback_secret(tenant))
        now = runtime.clock.now()
        return Signed(None, signer.headers(tenant, CALLBACKS, generation, event_id, now, body))
    found = await patiently(runtime.clock, lambda: ledger.subscription(tenant, subscription))
    if found is None:
        return Signed(None, {}, "the subscription was deleted")
    if found.disabled_at is not None:
        return Signed(None, {}, f"the subscription is disabled: {found.disabled_reason}")
    now = runtime.clock.now()
    return Signed(found.url, signer.headers(tenant, found.id, found.generation, event_id, now, body))
