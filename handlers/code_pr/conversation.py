"""The conversation in which a model does the work.

Each answer of the model is a durable step; the tools in between only touch the working copy, and do so again, the same
way, when the conversation is taken up after a crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handlers.code_pr.briefing import SYSTEM, forget_oldest, opening, with_turns_left
from handlers.code_pr.payload import CodeChange
from handlers.code_pr.toolbox import Done, RunCheck, read_call, tools, use
from handlers.code_pr.verification import Verification
from handlers.code_pr.workspace import Mistake, WorkingCopy
from orchestrator.sdk import Context, Message, ModelReply, ModelRequest, Terminal, ToolCall, ToolResult

MOST_BLUNDERS = 3
"""Answers in a row from which nothing could be made."""


@dataclass(slots=True)
class Work:
    """What came of a conversation."""

    title: str = ""
    summary: str = ""
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    model: str = ""
    checked: dict[str, Any] | None = None
    """The check of the final files: `exit_code` and `output`."""


class Conversation:
    def __init__(self, ctx: Context, payload: CodeChange, copy: WorkingCopy) -> None:
        self._ctx = ctx
        self._payload = payload
        self._copy = copy
        self._work = Work()
        self._messages: list[Message] = []
        self._verification = Verification(ctx, payload, copy)
        self._has_used_tools = False

    async def hold(self, name: str, base: str) -> Work:
        """Return the finished work. Raises Terminal when the model does not get there, and what `generate` raises."""
        self._messages = [Message("user", opening(self._payload, name, base))]
        blunders = 0
        for turn in range(1, self._payload.max_turns + 1):
            reply = await self._ask(turn)
            answers, used, finished = await self._answer(reply)
            await self._ctx.step(f"turn {turn} used", self._tell, turn, used)
            if finished:
                return self._work
            blunders = 0 if used else blunders + 1
            if blunders == MOST_BLUNDERS:
                raise Terminal(
                    f"{reply.provider}/{reply.model} gave {MOST_BLUNDERS} answers in a row that were no use of its"
                    " tools: try another model"
                )
            self._messages.append(with_turns_left(answers, self._payload.max_turns - turn))
            forget_oldest(self._messages)
        raise Terminal(
            f"the model did not finish within max_turns ({self._payload.max_turns}): raise it, or ask for less at once"
        )

    async def _ask(self, turn: int) -> ModelReply:
        payload = self._payload
        request = ModelRequest(
            messages=tuple(self._messages),
            system=SYSTEM,
            provider=payload.provider,
            model=payload.model,
            max_tokens=payload.max_tokens,
            tools=tools(payload.check is not None),
            max_cost_usd=payload.max_cost_usd,
            on_budget=payload.on_budget,
        )
        reply = await self._ctx.generate(f"turn {turn}", request)
        work = self._work
        work.turns, work.model = turn, f"{reply.provider}/{reply.model}"
        work.input_tokens += reply.usage.input_tokens
        work.output_tokens += reply.usage.output_tokens
        work.cost_usd += reply.cost_usd
        text = reply.text if reply.text.strip() or reply.tool_calls else "(no answer)"
        self._messages.append(Message("assistant", text, tool_calls=tuple(reply.tool_calls)))
        return reply

    async def _answer(self, reply: ModelReply) -> tuple[Message, list[str], bool]:
        """Do what the model asks for; return the answers, what was used, and whether the work is finished."""
        if not reply.tool_calls:
            return await self._answer_words(reply)
        results, used, finished = [], [], False
        for call in reply.tool_calls:
            try:
                asked = read_call(call.name, call.arguments)
                used.append(_shown(call))
                self._has_used_tools = True
                text, finished = await self._use(asked)
                results.append(ToolResult(call.id, text))
            except Mistake as mistake:
                results.append(ToolResult(call.id, str(mistake), is_error=True))
            if finished:
                break
        return Message("user", tool_results=tuple(results)), used, finished

    async def _answer_words(self, reply: ModelReply) -> tuple[Message, list[str], bool]:
        """An answer without a call is the end if it says anything."""
        if reply.stop == "length":
            return Message("user", "Your answer was cut off at its limit of tokens: go on in smaller steps."), [], False
        if not reply.text.strip() or not self._has_used_tools:
            return Message("user", "Nothing was done: use the tools, and call done at the end."), [], False
        try:
            await self._finish(Done(title="", summary=reply.text))
        except Mistake as mistake:
            return Message("user", str(mistake)), ["done"], False
        return Message("user", ""), ["done"], True

    async def _use(self, asked: Any) -> tuple[str, bool]:
        if isinstance(asked, Done):
            await self._finish(asked)
            return "finished", True
        if isinstance(asked, RunCheck):
            return await self._verification.show(), False
        return use(self._copy, asked), False

    async def _finish(self, asked: Done) -> None:
        """Take the work as finished. Raises Mistake when the check does not let it pass."""
        await self._verification.admit()
        self._work.checked = self._verification.outcome
        self._work.title, self._work.summary = asked.title, asked.summary

    async def _tell(self, turn: int, used: Sequence[str]) -> list[str]:
        """A step, so that a conversation which is taken up again does not tell it all a second time."""
        await self._ctx.log(f"turn {turn}", used=list(used))
        await self._ctx.progress(0.05 + 0.8 * turn / self._payload.max_turns, f"turn {turn}")
        return list(used)


def _shown(call: ToolCall) -> str:
    """What was used, for people: the tool and its path, never a content."""
    about = call.arguments.get("path") or call.arguments.get("folder") or call.arguments.get("text") or ""
    return f"{call.name} {str(about)[:200]}".strip()
