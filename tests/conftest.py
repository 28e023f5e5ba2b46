"""How the tests are spread over processes (`make test` runs several): a file at a time, what is slow first.

With `--soak` (`make soak`), only the tests that repeat something run, with their full counts: see the fixture `times`.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

# Seconds that one test may take in a soak.
_SOAK_TIMEOUT = 4 * 3600
_ORDER = ("embedded", "attack", "contract", "chart", "schemas", "golden", "unit")
_USES_SHARED = re.compile(r"^async def test_\w+\((.*, )?shared\b", re.MULTILINE)


class Spread(LoadFileScheduling):
    """A file shares its fixtures, so it stays in one process; so do all files that share one running `up`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "shared" if _uses_shared(self.config.rootpath / file) else file


@functools.cache
def _uses_shared(path: Path) -> bool:
    return "embedded" in path.parts and bool(_USES_SHARED.search(path.read_text()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    return Spread(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that repeat something, with full counts")


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> Callable[..., int]:
    """`times(3, soak=20)`: how often to do something, in an ordinary run and in a soak."""
    soaks = bool(request.config.getoption("--soak"))

    def count(ordinary: int, *, soak: int) -> int:
        return soak if soaks else ordinary

    return count


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        others = [item for item in items if "times" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]
        for item in items:
            item.add_marker(pytest.mark.timeout(_SOAK_TIMEOUT), append=False)
    items.sort(key=lambda item: (_folder(item), not _uses_shared(item.path)))


def _folder(item: pytest.Item) -> int:
    return next((index for index, name in enumerate(_ORDER) if name in item.path.parts), len(_ORDER))
