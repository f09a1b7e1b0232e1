"""Runs `aurea` under a sampling profiler: a look at the stack after every millisecond of processor time.

`python -m bench.sampler OUT.json worker` works like `aurea worker` and leaves the samples in OUT.json when it ends. Unlike
cProfile it slows nothing down enough to change the picture. Time in C is seen in the line that called it.
"""

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from app.cli.main import run

PERIOD_SECONDS = 0.001
OWN: Counter[str] = Counter()
WHOLE: Counter[str] = Counter()


def _look(_: int, frame: FrameType | None) -> None:
    seen: set[str] = set()
    if frame is not None:
        OWN[_place(frame)] += 1
    while frame is not None:
        seen.add(_place(frame))
        frame = frame.f_back
    WHOLE.update(seen)


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(Path(code.co_filename).parts[-3:])}:{code.co_qualname}"


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
