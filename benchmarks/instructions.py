"""Instructions per call of the gateway, beside plain Envoy TLS proxying: the rows of gateway.py, under valgrind.

On a machine that does other work these repeat far better than CPU times do. They leave out what the kernel does.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import envoys
from gateway import Row, setup
from load import Generator, generator
from table import markdown

_CONNECTIONS = 16
_COUNTS = "counts"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1600, help="per row; default: %(default)s")
    options = parser.parse_args()
    if not shutil.which("callgrind_control"):
        sys.exit("valgrind is missing: install your system's package `valgrind`")
    asyncio.run(run(options.calls))


async def run(calls: int) -> None:
    """Start everything, count, print."""
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as name, generator() as load:
        folder = Path(name)
        # Envoy's own allocator stays: without it the numbers would be those of valgrind's.
        out = f"--callgrind-out-file={folder}/{_COUNTS}.%p"
        envoys.UNDER[:] = [
            "valgrind",
            "-q",
            "--tool=callgrind",
            "--instr-atstart=no",
            "--soname-synonyms=somalloc=NONE",
        ]
        envoys.UNDER.append(out)
        async with setup(folder, _CONNECTIONS) as (rows, _):
            counts = [await _count(row, calls, load, folder) for row in rows]
    lines = [[row.name, f"{each:,.0f}", f"{each / counts[1]:.2f}"] for row, each in zip(rows, counts, strict=True)]
    print(markdown(["", "instructions/call", "vs plain mTLS"], lines))


async def _count(row: Row, calls: int, load: Generator, folder: Path) -> float:
    for counted in (False, True):
        # The first round is for what is done once.
        await load.ready(row.target.after(counted * (calls + _CONNECTIONS)))
        if counted:
            _control(row.pid, "--instr=on")
            _control(row.pid, "--zero")
        outcome = await load.go(calls)
        if set(outcome.statuses) != {row.status}:
            raise RuntimeError(f"{row.name}: expected {row.status} only, got {outcome.statuses}")
    _control(row.pid, "--dump")
    _control(row.pid, "--instr=off")
    return _instructions(folder, row.pid) / outcome.calls


def _instructions(folder: Path, pid: int) -> int:
    newest = max(folder.rglob(f"{_COUNTS}.{pid}.*"), key=lambda path: int(path.suffix[1:]))
    totals = next(line for line in newest.read_text().splitlines() if line.startswith("summary:"))
    return int(totals.split()[1])


def _control(pid: int, what: str) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
