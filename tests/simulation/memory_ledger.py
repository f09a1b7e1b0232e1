"""The ledger in plain Python: its own methods over a model of each of its statements.

The model answers for single statements, each at one go, as Postgres does; what the ledger makes of them, and what
happens between two of them, is the product's own code.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any

from orchestrator.ledger.postgres import PostgresLedger
from orchestrator.ledger.statements import load
from tests.simulation import memory_attempts, memory_history, memory_moves, memory_submission, memory_upkeep
from tests.simulation.memory_rows import Tables

Statement = Callable[..., Any]

Ask = Callable[[str, tuple[Any, ...], Callable[[], Any]], Awaitable[Any]]
"""Takes a statement's name, its arguments, and what it does; returns its answer."""


def _names() -> dict[str, tuple[str, Statement | None]]:
    """Every statement by its text: its name, and the model of it where there is one."""
    modelled: dict[str, Statement] = {}
    for module in (memory_submission, memory_attempts, memory_history, memory_moves, memory_upkeep):
        for stem, statements in module.STATEMENTS.items():
            modelled |= {f"{stem}.{statement.__name__}": statement for statement in statements}
    stems = {name.partition(".")[0] for name in modelled}
    found: dict[str, tuple[str, Statement | None]] = {}
    for stem in sorted(stems):
        try:
            statements_of = load(stem)
        except FileNotFoundError:
            continue
        for name, sql in statements_of.items():
            found[sql] = (name, modelled.get(f"{stem}.{name}"))
    return found


class MemoryDatabase:
    """Stands where `ledger.database.Database` stands; `ask` lets each statement happen, now or later."""

    _known = _names()

    def __init__(self, tables: Tables, ask: Ask) -> None:
        self._tables = tables
        self._ask = ask

    async def _answer(self, sql: str, *arguments: Any) -> Any:
        name, statement = self._known[sql]
        if statement is None:
            raise LookupError(f"the memory ledger has no model of the statement {name!r}")
        return await self._ask(name, arguments, partial(statement, self._tables, sql, *arguments))

    rows = row = value = change = _answer

    def of(self, _: str) -> "MemoryDatabase":
        """The models look at the tenant themselves."""
        return self

    async def change_of_each(self, sql: str, arguments: Mapping[str, tuple[Any, ...]]) -> int:
        return sum([await self._answer(sql, *own) for own in arguments.values()])


def memory_ledger(tables: Tables, ask: Ask | None = None) -> PostgresLedger:
    """A ledger whose statements change these tables."""
    ledger: Any = PostgresLedger(None)
    database: Any = MemoryDatabase(tables, ask or _at_once)
    for name in list(vars(ledger)):  # every connection it has
        setattr(ledger, name, database)
    paused_queues = ledger.paused_queues

    async def in_order() -> Collection[str]:
        return dict.fromkeys(sorted(await paused_queues()))  # a set's order is another one in every process

    ledger.paused_queues = in_order
    return ledger  # type: ignore[no-any-return]


async def _at_once(name: str, arguments: tuple[Any, ...], act: Callable[[], Any]) -> Any:
    return act()
