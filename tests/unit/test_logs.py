"""Log lines: one JSON object a line, whatever is in it, and no secrets."""

import asyncio
import io
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
import structlog
from pydantic import SecretStr

from orchestrator.telemetry import logs

SECRETS = {
    "authorization": "canary-1",
    "GITHUB_TOKEN": "canary-1",
    "webhook_secret": "canary-1",
    "Password": "canary-1",
    "api-key": "canary-1",
    "AUREA_ENCRYPTION_KEYS": "canary-1",
    "anthropic_api_key": "canary-1",
    "Set-Cookie": "canary-1",
    "sentry_dsn": "canary-1",
    "x-hub-signature-256": "canary-1",
    "accessToken": "canary-1",
    "nested": {"deep": [{"token": "canary-1"}]},
    "typed": SecretStr("canary-1"),
    "header": "Authorization: Bearer canary-1canary-1",
    "basic": "Basic canary-1canary-1==",
    "url": "postgresql://aurea:canary-1@db.internal:5432/aurea",
    "redis": "could not reach rediss://default:canary-1@host:6379",
    "query": "GET https://api.example.com/x?token=canary-1&page=2",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnktMSI6MX0.canary-1",
    "pat": "ghp_canary-1canary-1canary-1",
    "bytes": b"Bearer canary-1canary-1",
}


class Stream(io.BytesIO):
    """What was flushed is what others see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def flush(self) -> None:
        self.seen.append(self.getvalue())


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    root = logging.getLogger()
    before = (root.handlers, root.level, structlog.get_config())
    monkeypatch.setattr(logs, "_direct", None)
    stream = Stream()
    logs.configure("INFO", "json", stream)
    yield stream
    root.handlers, root.level = before[0], before[1]
    structlog.configure(**before[2])


def lines(out: io.BytesIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_has_time_level_event_logger_and_its_fields(out: io.BytesIO) -> None:
    structlog.get_logger("orchestrator.worker").info("task_finished", type="noop", attempt=1, seconds=0.5)
    (line,) = lines(out)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "task_finished",
        "logger": "orchestrator.worker",
        "type": "noop",
        "attempt": 1,
        "seconds": 0.5,
    }


async def test_what_is_bound_stands_in_every_line_of_that_asyncio_task_and_no_other(out: io.BytesIO) -> None:
    async def work(name: str) -> None:
        logs.bind(task_id=name, trace_id=name * 2)
        await asyncio.sleep(0)
        structlog.get_logger("w").info("working", name=name)

    await asyncio.gather(work("a"), work("b"))
    structlog.get_logger("w").info("after")
    first, second, after = lines(out)
    assert [(line["task_id"], line["trace_id"]) for line in (first, second)] == [("a", "aa"), ("b", "bb")]
    assert "task_id" not in after


def test_unbind_restores_what_was_bound_before(out: io.BytesIO) -> None:
    outer = logs.bind(task_id="outer")
    inner = logs.bind(span_id="inner")
    assert dict(logs.bound()) == {"task_id": "outer", "span_id": "inner"}
    logs.unbind(inner)
    assert dict(logs.bound()) == {"task_id": "outer"}
    logs.unbind(outer)


@pytest.mark.parametrize("style", ["json", "pretty"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_nowhere_in_the_line(out: io.BytesIO, style: logs.Style, name: str) -> None:
    logs.configure("INFO", style, out)
    structlog.get_logger("w").info("calling", **{name: SECRETS[name]})
    assert b"calling" in out.getvalue()
    assert b"canary-1" not in out.getvalue()


def test_a_secret_in_an_event_or_an_exception_is_hidden(out: io.BytesIO) -> None:
    log = structlog.get_logger("w")
    log.info("connecting to postgres://u:canary-1@h/db")
    try:
        raise ValueError("Bearer canary-1canary-1")
    except ValueError:
        log.exception("failed")
    assert b"canary-1" not in out.getvalue()
    assert lines(out)[1]["exception"].endswith("ValueError: Bearer [redacted]")


@pytest.mark.parametrize("name", ["token_count", "tokens", "secretary", "keyboard", "dsn_name", "author"])
def test_a_name_that_only_looks_like_a_secret_is_shown(out: io.BytesIO, name: str) -> None:
    structlog.get_logger("w").info("x", **{name: "shown"})
    assert lines(out)[0][name] == "shown"


FORGED = 'a\r\n{"level":"error"}\x1b[31m\x00\x7f\x85\u2028\u2029\u202e\u200b\ud800 é'


def test_no_character_breaks_or_hides_a_json_line(out: io.BytesIO) -> None:
    structlog.get_logger("w").info(FORGED, field=FORGED, **{"key\u2028\n": 1})
    text = out.getvalue().decode()
    assert len(text.splitlines()) == 1
    assert not set(text.rstrip("\n")) & set("\r\x1b\x00\x7f\x85\u2028\u202e\u200b")
    assert "é" in text
    assert lines(out)[0]["field"].startswith('a\r\n{"level"')


def test_no_character_breaks_or_hides_a_pretty_line(out: io.BytesIO) -> None:
    logs.configure("INFO", "pretty", out)
    structlog.get_logger("w").info(FORGED, field=FORGED)
    text = out.getvalue().decode()
    assert len(text.splitlines()) == 1
    assert not set(text.rstrip("\n")) & set("\r\x1b\x00\x7f\x85\u2028\u202e\u200b")


def test_a_pretty_traceback_keeps_its_lines(out: io.BytesIO) -> None:
    logs.configure("INFO", "pretty", out)
    try:
        raise ValueError("boom")
    except ValueError:
        structlog.get_logger("w").exception("failed")
    assert "\nTraceback (most recent call last):\n" in out.getvalue().decode()


@pytest.mark.parametrize("value", ["x" * 2**20, ["x" * 1000] * 10_000, {f"k{n}": "x" * 9_000 for n in range(200)}])
def test_a_megabyte_is_cut(out: io.BytesIO, value: Any) -> None:
    structlog.get_logger("w").info("large", value=value)
    assert len(out.getvalue()) < 70_000
    assert lines(out)[0]["event"] == "large"


def test_a_value_that_is_not_json_is_shown_as_text(out: io.BytesIO) -> None:
    ident = uuid4()
    structlog.get_logger("w").info("x", ident=ident, huge=2**70, many={1, 2}, nan=float("nan"), deep=[[[[[[[[1]]]]]]]])
    line = lines(out)[0]
    assert line["ident"] == str(ident)
    assert line["huge"] == str(2**70)
    assert line["many"] == [1, 2]
    assert line["nan"] is None


def test_a_hostile_text_costs_no_noticeable_time(out: io.BytesIO) -> None:
    log = structlog.get_logger("w")
    hostile = ("a.-+" * 4000, "eyJxxxxxxxx-" * 800, "://x:" * 2000, "bearer " * 1500, "?token" * 2000)
    before = time.process_time()
    for value in hostile * 10:
        log.info("x", value=value)
    assert time.process_time() - before < 0.5
    assert len(lines(out)) == 50


def test_the_standard_library_goes_the_same_way(out: io.BytesIO) -> None:
    logging.getLogger("uvicorn.error").warning("started %s", "postgres://u:canary-1@h/db")
    logging.getLogger("asyncpg").info("connected")
    logging.getLogger("asyncpg").debug("not shown")
    first, second = lines(out)
    assert (first["logger"], first["level"]) == ("uvicorn.error", "warning")
    assert first["event"] == "started postgres://u:[redacted]@h/db"
    assert second["logger"] == "asyncpg"


def test_a_standard_library_traceback_stands_in_the_line(out: io.BytesIO) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("redis").exception("failed")
    assert "ValueError: boom" in lines(out)[0]["exception"]


def test_clients_that_log_whole_urls_are_quiet(out: io.BytesIO) -> None:
    for name in ("httpx2", "httpcore2", "uvicorn.access"):
        logging.getLogger(name).info("GET https://example.com/?q=private")
    assert out.getvalue() == b""


def test_a_line_below_the_level_is_not_written(out: io.BytesIO) -> None:
    logs.configure("WARNING", "json", out)
    structlog.get_logger("w").info("x")
    logging.getLogger("w").info("x")
    assert out.getvalue() == b""


async def test_notes_of_one_turn_are_written_at_once_and_in_their_place(out: Stream) -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    for number in (1, 2):
        logs.note("attempt_ended", "orchestrator.attempts", at, attempt=number)
    assert out.seen == []
    await asyncio.sleep(0)
    assert [len(seen.splitlines()) for seen in out.seen] == [2]
    logs.note("attempt_ended", "orchestrator.attempts", at, attempt=3)
    structlog.get_logger("orchestrator.worker").info("other")
    assert [line.get("attempt") for line in map(orjson.loads, out.seen[-1].splitlines())] == [1, 2, 3, None]
    first = lines(out)[0]
    assert (first["ts"], first["event"], first["attempt"]) == ("2026-11-20T00:00:00Z", "attempt_ended", 1)
