"""Searches the gate's parsers for so many minutes: its property tests, with random values that are new each time."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.node.errors import NodeError
from tools.node.progress import Progress

_BLOCK = re.compile(r"^    proptest! \{\n(.*?)^    \}$", re.MULTILINE | re.DOTALL)
_FUNCTION = re.compile(r"^        fn (\w+)\(", re.MULTILINE)
_FIRST_CASES = 1000
# What proptest's counter holds.
_MOST_CASES = 2**32 - 1


@dataclass(frozen=True)
class Searched:
    """One property: how many values it was tried with, and the seconds that took."""

    name: str
    executions: int
    seconds: float


def properties(sources: Path) -> list[str]:
    """The property tests in these Rust sources, as their test binary lists them: `mechanisms::api_key::tests::NAME`."""
    found = []
    for path in sorted(sources.rglob("*.rs")):
        module = "::".join(path.relative_to(sources).with_suffix("").parts).removesuffix("::mod")
        names = (name for block in _BLOCK.findall(path.read_text()) for name in _FUNCTION.findall(block))
        found += [f"{module}::tests::{name}" for name in names]
    return found


def search(name: str, seconds: float, run: Callable[[int], None], clock: Callable[[], float]) -> Searched:
    """Try a property for about so many seconds. `run` tries it with so many values; `clock` is monotonic seconds.

    Each run has as many values as the rest of the time allows, by the speed so far.
    """
    started = clock()
    executions, cases, taken = 0, _FIRST_CASES, 0.0
    while True:
        run(cases)
        executions += cases
        taken = clock() - started
        left = seconds - taken
        # A run that is nearly nothing would cost more to start than it searches.
        if left < seconds / 20:
            return Searched(name, executions, taken)
        speed = executions / max(taken, 0.001)
        cases = max(_FIRST_CASES, min(int(speed * left), _MOST_CASES))


def fuzz(gate: Path, minutes: float, progress: Progress) -> None:
    """Search every property of the gate, in `minutes` all together, and print a table of the executions.

    Raises NodeError with what proptest says of the smallest value that breaks a property.
    """
    binary = _test_binary(gate, progress)
    listed = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True, cwd=gate).stdout
    tests = {line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")}
    names = properties(gate / "src")
    missing = [name for name in names if name not in tests]
    if missing or not names:
        raise NodeError(f"These properties are no tests of the gate: {', '.join(missing) or 'none was found'}.")
    workers = min(os.cpu_count() or 1, len(names))
    share = minutes * 60 * workers / len(names)
    progress.step(f"Searching {len(names)} properties for {minutes:g} minutes, {workers} at a time")

    def search_one(name: str) -> Searched:
        return search(name, share, lambda cases: _run(binary, name, gate, cases), time.monotonic)

    started = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(search_one, names))
    print(table(found, time.monotonic() - started))


def table(found: list[Searched], seconds: float) -> str:
    """The result in Markdown. `seconds`: how long all of it took."""
    rows = [f"| `{each.name}` | {each.executions:,} | {each.seconds / 60:.1f} |" for each in found]
    total = f"| **all {len(found)}** | {sum(each.executions for each in found):,} | {seconds / 60:.1f} |"
    return "\n".join(["| property | executions | minutes |", "| --- | --: | --: |", *rows, total])


def _test_binary(gate: Path, progress: Progress) -> str:
    progress.step("Building the gate's tests with cargo, optimized")
    command = ["cargo", "test", "--release", "--locked", "--lib", "--no-run", "--message-format=json"]
    done = subprocess.run(command, check=False, cwd=gate, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    if done.returncode:
        raise NodeError("`cargo test --no-run` failed; its messages are above.")
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    built = [each["executable"] for each in messages if each.get("executable") and each["profile"]["test"]]
    if len(built) != 1:
        raise NodeError("cargo did not say which file the gate's tests are in.")
    return str(built[0])


def _run(binary: str, test: str, gate: Path, cases: int) -> None:
    # A property that drops some values must not end because it dropped many.
    most = str(_MOST_CASES)
    settings = {
        "PROPTEST_CASES": str(cases),
        "PROPTEST_MAX_GLOBAL_REJECTS": most,
        "PROPTEST_MAX_LOCAL_REJECTS": most,
    }
    command = [binary, test, "--exact", "--quiet"]
    done = subprocess.run(
        command, check=False, cwd=gate, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        raise NodeError(f"The property {test} is broken:\n{said}")
    if "1 passed" not in said:
        raise NodeError(f"The property {test} did not run:\n{said}")
