"""From a model's answer to the document that is kept: the fence taken off, HTML made safe, JSON as it was checked.

An answer was paid for and is kept with its step, so one that cannot be used is final: the same task would only meet it
again. Started over, or with other words, the task asks anew.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, Self

import orjson

from handlers.gen_content.markup import embeddable
from orchestrator.sdk import ModelReply, Terminal

Output = Literal["markdown", "html", "json"]

INSTRUCTIONS: dict[Output, str | None] = {
    "markdown": (
        "Answer in Markdown with the text itself and nothing else: no preamble, no remarks about it, no code fence"
        " around the whole."
    ),
    "html": (
        "Answer with an HTML fragment that is put into a page, and nothing else: no preamble, no code fence, no <html>,"
        " <head> or <body>. Use headings, paragraphs, lists, tables, quotes, links, <pre>, <code>, <strong> and <em>;"
        " no scripts, styles, classes, ids, images or forms."
    ),
    "json": None,  # the schema says it, and the model layer holds the model to it
}
ENDINGS: dict[Output, str] = {"markdown": "md", "html": "html", "json": "json"}
CONTENT_TYPES: dict[Output, str] = {
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
}
_FENCE = re.compile(r"[ ]{0,3}(?P<marks>`{3,}|~{3,})[ \t]*(?P<language>[\w+#.-]*)\s*")
_EXCERPT = 300


@dataclass(frozen=True, slots=True)
class Document:
    """What the task stores, and the part of its result that holds the same."""

    stored: str | bytes
    result: dict[str, Any]
    is_truncated: bool

    @classmethod
    def of(cls, reply: ModelReply, output: Output) -> Self:
        """Raises Terminal for an answer that is no document."""
        if reply.stop == "refusal":
            said = f": {reply.text.strip()[:_EXCERPT]}" if reply.text.strip() else ""
            raise Terminal(f"{reply.provider}:{reply.model} refused to answer{said}")
        truncated = reply.stop == "length"
        if output == "json":
            return cls(*_json(reply, truncated=truncated))
        text = unfenced(reply.text, output, is_cut=truncated)
        made = embeddable(text) if output == "html" else text
        if not made:
            empty = "holds nothing that is safe to embed" if text else "is empty"
            raise Terminal(f"the answer of {reply.provider}:{reply.model} {empty}: start the task over, or reword it")
        return cls(made, {"text": made, "truncated": truncated}, truncated)


def _json(reply: ModelReply, *, truncated: bool) -> tuple[bytes, dict[str, Any], bool]:
    if reply.data is None and truncated:
        tokens = reply.usage.output_tokens
        raise Terminal(f"the JSON was cut off after {tokens} tokens: raise max_tokens, or ask for less")
    if reply.data is None:
        raise Terminal(f"the answer of {reply.provider}:{reply.model} holds no JSON: start the task over")
    stored = orjson.dumps(reply.data, option=orjson.OPT_INDENT_2)
    return stored, {"data": reply.data, "truncated": truncated}, truncated


def unfenced(text: str, language: str, *, is_cut: bool = False) -> str:
    """Return the text without a code fence that stands around all of it, bare or marked with this language.

    A fence of another language is content: somebody asked for a program. One that is closed before the end is, too.
    `is_cut`: the answer broke off, so the closing line may be missing.
    """
    lines = text.strip().split("\n")
    opening = _FENCE.fullmatch(lines[0])
    if opening is None or opening["language"].lower() not in ("", language, _SHORT.get(language)):
        return text.strip()
    is_closed = len(lines) > 1 and _closes(lines[-1], opening["marks"])
    inside = lines[1:-1] if is_closed else lines[1:]
    if not (is_closed or is_cut) or not _is_whole(inside, opening):
        return text.strip()
    return "\n".join(inside).strip()


_SHORT = {"markdown": "md"}


def _closes(line: str, marks: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(marks) and bare == marks[0] * len(bare)


def _is_whole(inside: list[str], opening: re.Match[str]) -> bool:
    """Whether the opening fence reaches to the end.

    By the rules of Markdown the first bare fence closes it. Models do not keep to that when they say what they wrap:
    inside such a fence, blocks that open and close are part of the text.
    """
    inner = ""
    for line in inside:
        if inner:
            inner = "" if _closes(line, inner) else inner
        elif not opening["language"] and _closes(line, opening["marks"]):
            return False
        elif fence := _FENCE.fullmatch(line):
            inner = fence["marks"]
    return not inner
