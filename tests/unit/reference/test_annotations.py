"""The page of annotations has every key under nightlatch.dev that the code knows."""

import re
from pathlib import Path

import pytest

import nightlatch
from nightlatch.api import names
from nightlatch.api.meta import GROUP
from nightlatch.reference import annotations

SOURCES = Path(nightlatch.__file__).parent
KEYS = {
    f"{GROUP}/{found}"
    for path in SOURCES.rglob("*.py")
    for found in re.findall(r'^(?:ANNOTATION|LABEL)_\w+ = f"\{GROUP\}/([a-z-]+)"', path.read_text(), re.MULTILINE)
}


def test_the_page_has_every_annotation_and_label() -> None:
    found = set(re.findall(rf"^\| `({re.escape(GROUP)}/[a-z-]+)` \|", annotations.render(), re.MULTILINE))
    assert len(KEYS) > 10
    assert found == KEYS


@pytest.mark.parametrize("word", ["rotate", "renew", "rollover", "adopt"])
def test_a_user_finds_what_to_annotate_and_what_it_does(word: str) -> None:
    section = annotations.render().split("## Annotations and labels that Nightlatch writes")[0]
    (row,) = (line for line in section.splitlines() if line.startswith(f"| `{GROUP}/{word}` |"))
    (request,) = (each for each in names.REQUESTS if each.annotation == f"{GROUP}/{word}")
    assert request.put_on in row
    assert request.effect in row
