"""The files that stand in for the ConfigMap about the installation: what is told of it, and what people ask for.

They are two, so that neither writer undoes the other.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from nightlatch.files import replace_file
from nightlatch.workloads.processes.files import make_private_directory

_TOLD, _ASKED = "installation.json", "installation-requests.json"


def tell(directory: Path, told: Mapping[str, str]) -> Mapping[str, str]:
    """Write what is told, if it changed. Returns the annotations."""
    if _read(directory, _TOLD) != dict(told):
        _write(directory, _TOLD, told)
    return _read(directory, _ASKED)


def annotate(directory: Path, annotation: str, value: str) -> None:
    """Ask for something."""
    _write(directory, _ASKED, {**_read(directory, _ASKED), annotation: value})


def read_told(directory: Path) -> Mapping[str, str]:
    """What was told last."""
    return _read(directory, _TOLD)


def _read(directory: Path, name: str) -> dict[str, str]:
    try:
        found = json.loads((directory / name).read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(directory: Path, name: str, content: Mapping[str, str]) -> None:
    make_private_directory(directory)
    replace_file(directory / name, json.dumps(dict(content), indent=2).encode())
