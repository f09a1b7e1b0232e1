"""Faults of links: one process loses one store, or the clients lose an API, while all others go on."""

from orchestrator.chaos.faults import Act, Fault, Stage, Target
from orchestrator.chaos.proxy import Proxy, Way
from orchestrator.chaos.stores import Store


def _between(store: Store | None, act: str) -> Act:
    """Do it to the link to this store, or to the clients' way to this API."""

    async def inject(stage: Stage, name: str) -> None:
        _BREAKS[act](stage.doors[name] if store is None else stage.link(name, store))

    return inject


def _healed(store: Store | None) -> Act:
    async def heal(stage: Stage, name: str) -> None:
        (stage.doors[name] if store is None else stage.link(name, store)).heal()

    return heal


_BREAKS = {
    "cut": Proxy.cut,
    "reset": Proxy.abort,
    "slow": lambda proxy: proxy.slow(0.2),
    "held": lambda proxy: proxy.hold(Way.OUT, Way.BACK),
    "deaf": lambda proxy: proxy.hold(Way.BACK),
    "mute": lambda proxy: proxy.lose(Way.OUT),
    "reply_lost": Proxy.swallow,
}
_ROWS = {
    "cut": (33,),
    "reset": (3, 29),
    "slow": (34,),
    "held": (8, 33),
    "deaf": (3, 33),
    "mute": (8, 33),
    "reply_lost": (2, 3),
}


def _fault(target: Target, store: Store | None, act: str, weight: int = 1) -> Fault:
    where = "clients_to_api" if store is None else f"{target}_to_{store}"
    rows = _ROWS[act] if store else (13, 42)
    short = act in ("reset", "reply_lost")
    hold = (1.0, 2.0) if short else (0.5, 4.0)
    return Fault(
        f"{where}_{act}",
        rows,
        target,
        _between(store, act),
        _healed(store),
        hold,
        weight=weight,
        detour=store == "postgres",
    )


LINK_FAULTS = [
    _fault("worker", "redis", "cut", 2),
    _fault("worker", "redis", "held", 2),
    _fault("worker", "redis", "deaf"),
    _fault("worker", "redis", "mute"),
    _fault("worker", "redis", "reply_lost", 3),
    _fault("worker", "redis", "slow"),
    _fault("worker", "postgres", "cut", 2),
    _fault("worker", "postgres", "held"),
    _fault("worker", "postgres", "reply_lost", 3),
    _fault("worker", "postgres", "slow"),
    _fault("api", "redis", "cut"),
    _fault("api", "redis", "reply_lost", 2),
    _fault("api", "postgres", "cut"),
    _fault("api", "postgres", "reply_lost", 2),
    _fault("scheduler", "redis", "held"),
    _fault("scheduler", "postgres", "cut"),
    _fault("client", None, "reply_lost", 2),
    _fault("client", None, "reset", 2),
]
