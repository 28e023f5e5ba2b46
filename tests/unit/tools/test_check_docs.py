"""A page or comment that points at something which is not in this repository is found."""

from pathlib import Path

import pytest

from tools import check_docs
from tools.check_docs import problems


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check_docs, "REPOSITORY", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "there.md").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("docs/page.md", "See\n[that](gone.md).", "docs/page.md:2: there is no gone.md"),
        ("page.md", "Look in `docs/gone` for it.", "page.md:1: there is no docs/gone"),
        ("code.py", '"""Reads planning/gone.py."""', "code.py:1: there is no planning/gone.py"),
        ("code.py", "x = 1\n# as docs/gone.md says", "code.py:2: there is no docs/gone.md"),
        ("chart.yaml", "# " + "decisions" + ".md has the reason", "is not in this repository"),
    ],
)
def test_a_dead_reference_is_named_with_its_line(checkout: Path, name: str, text: str, word: str) -> None:
    (checkout / name).write_text(text, encoding="utf-8")
    (found,) = problems([checkout / name])
    assert word in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "[there](docs/there.md#part), [away](https://example.com/docs/gone.md), `docs/*.md`"),
        ("page.md", "`/opt/docs/gone.md`, `~/docs/gone.md`, `.nightlatch/NAMESPACE/NAME/x.json`, and/or"),
        ("code.py", 'PATH = "docs/gone.md"  # text that is no comment is not read'),
    ],
)
def test_what_exists_or_is_not_ours_is_left_alone(checkout: Path, name: str, text: str) -> None:
    (checkout / name).write_text(text, encoding="utf-8")
    assert list(problems([checkout / name])) == []
