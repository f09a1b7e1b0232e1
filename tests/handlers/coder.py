"""A model in the hands of a test of code_pr, and the run of the task around it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from handlers.code_pr import code_pr
from orchestrator.egress import open_client
from orchestrator.sdk import ModelReply, ModelRequest, ToolCall, Usage
from orchestrator.testing import FakeClock, TaskRun, run_task
from tests.fakes.github import FakeGitHub, fake_github

Turn = str | ModelReply | Exception | ToolCall | tuple[ToolCall, ...]
DONE = {"title": "Say goodbye", "summary": "The greeting is polite now."}
FILES = {"README.md": "hello\n", "src/app.py": "def greet():\n    return 'hello'\n"}
PAYLOAD = {"repository": "acme/app", "instruction": "Be polite\nand brief"}


def use(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(f"call_{name}", name, arguments)


EDIT = use("edit_file", path="src/app.py", old="'hello'", new="'goodbye'")
FINISH = use("done", **DONE)


def model(*turns: Turn) -> Callable[[ModelRequest], ModelReply]:
    """Return a model that answers by how far the conversation is: the same when it is asked the same again."""

    def answer(request: ModelRequest) -> ModelReply:
        turn = turns[sum(message.role == "assistant" for message in request.messages)]
        if isinstance(turn, Exception):
            raise turn
        if isinstance(turn, ModelReply):
            return turn
        calls = (turn,) if isinstance(turn, ToolCall) else turn if isinstance(turn, tuple) else ()
        return reply(turn if isinstance(turn, str) else "", calls)

    return answer


def reply(text: str = "", calls: tuple[ToolCall, ...] = (), stop: Any = None) -> ModelReply:
    return ModelReply(
        text=text,
        provider="anthropic",
        model="claude-test",
        stop=stop or ("tool" if calls else "end"),
        usage=Usage(input_tokens=1000, output_tokens=100),
        cost_usd=0.01,
        tool_calls=calls,
    )


class Scene:
    """A fake GitHub, a client that reaches it, and a model."""

    def __init__(self, github: FakeGitHub, http: httpx2.AsyncClient) -> None:
        self.github = github
        self.http = http

    async def run(self, *turns: Turn, config: dict[str, str] | None = None, **payload: Any) -> TaskRun:
        """Run the task; by default its model makes one edit and is done."""
        return await self.start(*turns, config=config, **payload)

    def start(
        self,
        *turns: Turn,
        config: dict[str, str] | None = None,
        clock: FakeClock | None = None,
        kill_at: int | None = None,
        attempt: int = 1,
        steps: dict[str, Any] | None = None,
        **payload: Any,
    ) -> TaskRun:
        return run_task(
            code_pr,
            {**PAYLOAD, **payload},
            models=model(*(turns or (EDIT, FINISH))),
            http=self.http,
            config=self.github.config if config is None else config,
            clock=clock,
            kill_at=kill_at,
            attempt=attempt,
            steps=steps,
        )

    async def failure(self, *turns: Turn, **more: Any) -> str:
        """Run it and return the message of its terminal error."""
        run = await self.start(*turns, **more)
        assert run.error is not None, run.result
        assert not run.error.retryable, run.error
        return run.error.message


@asynccontextmanager
async def open_scene(*, guarded: bool = False) -> AsyncIterator[Scene]:
    """Give the repository acme/app with two files. At the end GitHub has understood every call.

    The client that a worker has is `guarded`; a plain one is sooner made.
    """
    with fake_github() as fake:
        fake.add("acme/app", dict(FILES))
        async with open_client([fake.host]) if guarded else httpx2.AsyncClient(verify=False) as http:
            yield Scene(fake, http)
    assert fake.problems == []
