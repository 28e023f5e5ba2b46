"""How the tests are spread over processes (`make test` runs several): a file at a time, what is slow first."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

_ORDER = ("embedded", "attack", "contract", "chart", "golden", "unit")
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (_folder(item), not _uses_shared(item.path)))


def _folder(item: pytest.Item) -> int:
    return next((index for index, name in enumerate(_ORDER) if name in item.path.parts), len(_ORDER))
