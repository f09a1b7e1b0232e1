"""The long campaign: `python -m tests.fuzz --examples 250 --seed 7`."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from orchestrator.ledger.migrate import migrate
from orchestrator.telemetry.logs import configure
from tests.api.live_server import serve
from tests.conftest import start_servers
from tests.fuzz.campaign import WHOLE, fuzz


async def main(examples: int, seed: int) -> int:
    configure("ERROR", "json")
    folder = Path(tempfile.mkdtemp(prefix="aurea-fuzz-"))
    servers = start_servers(folder)
    try:
        await migrate(servers.postgres.url)
        async with serve(servers.postgres.url, servers.valkey.url, **WHOLE) as live:
            report = await fuzz(live, examples=examples, seed=seed)
    finally:
        servers.valkey.stop()
        servers.postgres.stop()
        shutil.rmtree(folder)
    sys.stdout.write(f"{report.text}\n{report.cases} cases, {report.failures} failures, seed {seed}\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=250, help="the most cases of a phase for each route")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.examples, given.seed)))
