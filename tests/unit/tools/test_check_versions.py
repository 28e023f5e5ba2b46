"""One version for everything that is released together."""

import shutil
from pathlib import Path

import pytest

from tools import check_versions
from tools.check_versions import (
    CHART,
    CLIENT,
    CLIENT_CODE,
    GATE,
    GATE_CRATE,
    MODEL_SERVER,
    MODEL_SERVER_CODE,
    REPOSITORY,
    SOURCE,
    problems,
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (SOURCE, CLIENT, CLIENT_CODE, GATE, GATE_CRATE, MODEL_SERVER, MODEL_SERVER_CODE, CHART):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def test_this_checkout_has_one_version(checkout: Path) -> None:
    assert problems(checkout) == []


def test_a_place_that_was_forgotten_is_named_with_the_version_it_needs(checkout: Path) -> None:
    source = checkout / SOURCE
    version = check_versions.released_version(checkout)
    source.write_text(source.read_text(encoding="utf-8").replace(f'"{version}"', '"9.9.9"'), encoding="utf-8")

    found = problems(checkout)

    assert len(found) == len(check_versions.versions(checkout)) == 11
    assert all("set it to 9.9.9" in problem for problem in found)
