"""What `up` writes down before it changes anything, so that `down` works even after `up` was killed."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.node.processes import ProcessIdentity


@dataclass(frozen=True)
class Record:
    """A cluster that is running or starting; `cluster` is node, kind or current."""

    cluster: str
    mode: str = "all"
    processes: list[ProcessIdentity] = field(default_factory=list)
    link: str = ""
    link_index: int = 0
    server: str = ""
    cgroup: str = ""
    controllers: list[str] = field(default_factory=list)

    @property
    def init(self) -> ProcessIdentity:
        """Process 1 of the node, as the host sees it."""
        return self.processes[0]


def write(path: Path, record: Record) -> None:
    """Write the record atomically."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(record), indent=2), encoding="utf-8")
    partial.rename(path)


def read(path: Path) -> Record | None:
    """Read the record; None if no cluster was started, or the last one is down."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Record(**content | {"processes": [ProcessIdentity(**process) for process in content["processes"]]})
