"""`pytest tests/golden --update-golden` writes what comes out; read the difference before you commit it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`golden(path, *values)`: the file holds exactly these values, as YAML documents."""

    def compare(path: Path, *values: Any) -> None:
        plain = [orjson.loads(orjson.dumps(value)) for value in values]
        text = yaml.safe_dump_all(plain, sort_keys=True, width=110)
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.read_text() == text

    return compare
