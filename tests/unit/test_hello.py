"""hello, the first task anyone tries."""

from handlers.hello import hello
from orchestrator.testing import run_task


def test_hello_greets_and_tells_how_far_it_is() -> None:
    run = run_task(hello, {"name": "Ada", "seconds": 0})
    assert run.result == {"greeting": "Hello, Ada!"}
    assert "".join(run.tokens) == "Hello, Ada! "
    assert run.progress[-1].fraction == 1.0
