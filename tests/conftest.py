"""How the tests are spread over processes (`make test` runs several): a file at a time, what is slow first."""

import pytest

_ORDER = ("embedded", "contract", "chart", "golden", "unit")
_SHARED = "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file shares its fixtures, so it stays in one process; so do all tests that share one running `up`."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=_place)


def _group(item: pytest.Item) -> str:
    return _SHARED if _SHARED in getattr(item, "fixturenames", ()) else item.path.stem


def _place(item: pytest.Item) -> tuple[int, int]:
    folder = next((index for index, name in enumerate(_ORDER) if name in item.path.parts), len(_ORDER))
    return folder, _group(item) != _SHARED
