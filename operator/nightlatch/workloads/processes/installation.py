"""The file that stands in for the ConfigMap about the installation: what is told of it, and what people ask for."""

import json
from collections.abc import Mapping
from pathlib import Path

from nightlatch.files import replace_file

_FILE = "installation.json"


def tell(directory: Path, told: Mapping[str, str]) -> Mapping[str, str]:
    """Write what is told, if it changed. Returns the annotations."""
    found = _read(directory)
    annotations = found.get("annotations", {})
    if found.get("data") != dict(told):
        _write(directory, {"annotations": annotations, "data": dict(told)})
    return annotations


def annotate(directory: Path, annotation: str, value: str) -> None:
    """Ask for something."""
    found = _read(directory)
    _write(directory, {**found, "annotations": {**found.get("annotations", {}), annotation: value}})


def read_told(directory: Path) -> Mapping[str, str]:
    """What was told last."""
    return _read(directory).get("data", {})


def _read(directory: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads((directory / _FILE).read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(directory: Path, content: Mapping[str, Mapping[str, str]]) -> None:
    replace_file(directory / _FILE, json.dumps(content, indent=2).encode())
