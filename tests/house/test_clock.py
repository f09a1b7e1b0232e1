"""Only clock.py reads time and chance."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
READS = re.compile(
    r"\b(time\.(time|monotonic|time_ns|perf_counter)\(|datetime\.(now|utcnow)\(|random\.(random|uniform)\()"
)


def test_only_the_clock_reads_time_and_chance() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for folder in ("orchestrator", "handlers", "cron")
        for path in (ROOT / folder).rglob("*.py")
        # The embedded servers start before there is anything to hand a clock to.
        if path.name != "clock.py" and "embedded" not in path.parts and READS.search(path.read_text())
    ]
    assert guilty == []
