"""What the patterns of payloads cost every process that knows the handlers."""

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.discovery import discover

_OF_UNICODE = re.compile(r"\\[pPwWdDsS].*\{\d*,\d{2,}\}")


def patterns(schema: Any) -> Iterator[str]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in inner:
        yield from patterns(part)
    if isinstance(schema, dict) and isinstance(schema.get("pattern"), str):
        yield schema["pattern"]


def test_no_pattern_counts_characters_of_unicode() -> None:
    """Each repetition is a copy of the class: 200 of a few classes took 18 MB. `max_length` counts for nothing."""
    handlers = dict(discover([]))
    found = {name: list(patterns(handler.schema())) for name, handler in handlers.items()}
    assert found["gen_content"]
    assert [(name, each) for name, some in found.items() for each in some if _OF_UNICODE.search(each)] == []
