"""The committed pages of docs/reference are the generated ones, and say all that they are generated from."""

from pathlib import Path

import pytest

from nightlatch.api.conditions import ClientCondition, EndpointCondition, IssuerCondition, Reason
from nightlatch.generated_files import outdated
from nightlatch.reference import __main__ as reference

COMMITTED = Path(__file__).parents[3] / "docs" / "reference"


def test_the_committed_pages_are_the_generated_ones() -> None:
    assert outdated(reference.rendered(COMMITTED)) == (), "run `make generate`"
    assert {path.name for path in COMMITTED.iterdir()} == set(reference.PAGES)


def test_a_page_that_differs_fails_the_check_and_names_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main([str(tmp_path)]) == 0
    assert reference.main([str(tmp_path), "--check"]) == 0
    (tmp_path / "conditions.md").write_text("old")
    assert reference.main([str(tmp_path), "--check"]) == 1
    assert "make generate" in capsys.readouterr().err
    assert (tmp_path / "conditions.md").read_text() == "old"


def test_the_page_of_conditions_has_every_condition_and_every_reason_once() -> None:
    lines = reference.rendered(COMMITTED)[COMMITTED / "conditions.md"].splitlines()
    for word in (*EndpointCondition, *ClientCondition, *IssuerCondition, *Reason):
        assert f"| `{word}` | {word.explanation} |" in lines
