"""The search of the gate's parsers is bounded: each property has its share of the time, and its tries are counted."""

import re
from pathlib import Path

import pytest

from tools import gate, gate_fuzz
from tools.gate_fuzz import Searched, properties, search, table
from tools.node.errors import NodeError
from tools.node.progress import Progress


def test_every_property_of_the_gate_is_found() -> None:
    text = "".join(path.read_text() for path in (gate.GATE / "src").rglob("*.rs"))
    # Only a property's arguments have an `in`.
    by_their_arguments = re.findall(r"fn (\w+)\([^{]* in [^{]*\{", text)
    assert len(by_their_arguments) > 10
    found = properties(gate.GATE / "src")
    assert sorted(name.rpartition("::")[2] for name in found) == sorted(by_their_arguments)
    # Two modules may have a property of the same name.
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("speed", [100.0, 5_000.0, 3_000_000.0])
def test_a_search_keeps_to_its_time_and_counts_what_it_tried(speed: float) -> None:
    now, tried = [0.0], []

    def run(cases: int) -> None:
        tried.append(cases)
        # Starting takes a while, too.
        now[0] += 0.01 + cases / speed

    found = search("reads", 60.0, run, lambda: now[0])
    assert found == Searched("reads", sum(tried), now[0])
    # It is over by then, but for the least that it tries at all.
    assert 57.0 <= found.seconds <= 60.5 + 1000 / speed
    assert len(tried) < 20


def test_a_property_that_is_broken_ends_the_search(tmp_path: Path) -> None:
    """With what the test binary said."""
    binary = tmp_path / "tests"
    binary.write_text('#!/bin/sh\necho "minimal failing input: key = \\"nl_\\" after $PROPTEST_CASES"\nexit 101\n')
    binary.chmod(0o755)
    with pytest.raises(NodeError, match=r'(?s)api_key::tests::reads is broken.*key = "nl_" after 7'):
        gate_fuzz._run(str(binary), "api_key::tests::reads", tmp_path, 7)


def test_a_property_that_did_not_run_is_no_success(tmp_path: Path) -> None:
    binary = tmp_path / "tests"
    binary.write_text("#!/bin/sh\necho 'test result: ok. 0 passed; 0 failed'\n")
    binary.chmod(0o755)
    with pytest.raises(NodeError, match="did not run"):
        gate_fuzz._run(str(binary), "api_key::tests::reads", tmp_path, 7)


def test_a_crate_without_properties_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    binary = tmp_path / "tests"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setattr(gate_fuzz, "_test_binary", lambda *_: str(binary))
    with pytest.raises(NodeError, match="none was found"):
        gate_fuzz.fuzz(tmp_path, 1.0, Progress())


def test_the_table_says_how_many_executions_and_minutes() -> None:
    text = table([Searched("reads", 1_500_000, 90.0), Searched("writes", 500, 60.0)], 120.0)
    assert "| `reads` | 1,500,000 | 1.5 |" in text
    assert text.endswith("| **all 2** | 1,500,500 | 2.0 |")
