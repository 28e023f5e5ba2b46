"""Checks that everything we release has the version of `operator/pyproject.toml`: `python -m tools.check_versions`."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
SOURCE = "operator/pyproject.toml"
MODEL_SERVER = "model-server/pyproject.toml"
GATE = "gate/pyproject.toml"
GATE_CRATE = "gate/Cargo.toml"
CLIENT = "client/pyproject.toml"
CLIENT_CODE = "client/nightlatch_client/__init__.py"
MODEL_SERVER_CODE = "model-server/nightlatch_server/__init__.py"
CHART = "charts/nightlatch/Chart.yaml"


def released_version(repository: Path) -> str:
    """Return the version that all others must equal."""
    version: str = _toml(repository / SOURCE)["project"]["version"]
    return version


def versions(repository: Path) -> list[tuple[str, str]]:
    """Return each place that repeats the version, and the version found there ("" if there is none)."""
    extras = _toml(repository / SOURCE)["project"]["optional-dependencies"]
    embedded, gateway = " ".join(extras["embedded"]), " ".join(extras["gateway"])
    token = " ".join(extras["token"])
    code, client_code = ((repository / each).read_text(encoding="utf-8") for each in (MODEL_SERVER_CODE, CLIENT_CODE))
    chart = yaml.safe_load((repository / CHART).read_text(encoding="utf-8"))
    return [
        (f"{SOURCE}: nightlatch-model-server in embedded", _match(r"nightlatch-model-server==(\S+)", embedded)),
        (f"{SOURCE}: nightlatch-gate in gateway", _match(r"nightlatch-gate==(\S+)", gateway)),
        (f"{SOURCE}: nightlatch-client in token", _match(r"nightlatch-client\S*==(\S+)", token)),
        (f"{CLIENT}: version", _toml(repository / CLIENT)["project"]["version"]),
        (f"{CLIENT_CODE}: __version__", _match(r'^__version__ = "(.+)"$', client_code)),
        (f"{GATE}: version", _toml(repository / GATE)["project"]["version"]),
        (f"{GATE_CRATE}: version", _toml(repository / GATE_CRATE)["package"]["version"]),
        (f"{MODEL_SERVER}: version", _toml(repository / MODEL_SERVER)["project"]["version"]),
        (f"{MODEL_SERVER_CODE}: __version__", _match(r'^__version__ = "(.+)"$', code)),
        (f"{CHART}: version", str(chart["version"])),
        (f"{CHART}: appVersion", str(chart["appVersion"])),
    ]


def problems(repository: Path) -> list[str]:
    """Return one sentence for each place with another version."""
    expected = released_version(repository)
    return [
        f"{place} is {found or 'missing'}: set it to {expected}, the version of {SOURCE}"
        for place, found in versions(repository)
        if found != expected
    ]


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _match(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""


if __name__ == "__main__":
    sys.exit("\n".join(problems(REPOSITORY)) or 0)
