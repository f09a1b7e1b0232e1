"""Runs `aurea` under a sampling profiler: a look at the stack every few milliseconds of processor time.

`python -m bench.sampler OUT.json worker` works like `aurea worker` and leaves the samples of its event loop in OUT.json
when it ends. Unlike cProfile it does not slow calls, so the picture stays true. Time in C is seen in the line that
called it.
"""

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from app.cli.main import run

PERIOD_SECONDS = 0.001  # a kernel may round it up to its own tick, mostly 4 ms
LOOP = "Runner.run"
OWN: Counter[str] = Counter()
WHOLE: Counter[str] = Counter()


def _look(_: int, frame: FrameType | None) -> None:
    stack: list[str] = []
    while frame is not None:
        stack.append(_place(frame))
        if frame.f_code.co_qualname == LOOP:
            OWN[stack[0]] += 1
            WHOLE.update(set(stack))
            return
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    return f"{'/'.join(Path(frame.f_code.co_filename).parts[-3:])}:{frame.f_code.co_qualname}"


def main() -> None:
    output = Path(sys.argv.pop(1)).absolute()
    signal.signal(signal.SIGPROF, _look)
    signal.setitimer(signal.ITIMER_PROF, PERIOD_SECONDS, PERIOD_SECONDS)
    try:
        run()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        output.write_text(json.dumps({"own": OWN, "whole": WHOLE}))


if __name__ == "__main__":
    main()
