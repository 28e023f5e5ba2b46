"""Creates one cgroup for the node's pods at the top of each hierarchy: v1, hybrid or v2."""

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tools.node.errors import NodeError

NEEDED_V2 = ("cpuset", "cpu", "io", "memory", "pids")


def hierarchies(mounts: str) -> dict[Path, str]:
    """Return mount point → file system type of every cgroup hierarchy in the text of /proc/mounts."""
    fields = (line.split() for line in mounts.splitlines())
    return {Path(field[1]): field[2] for field in fields if field[2] in {"cgroup", "cgroup2"}}


def mounted() -> dict[Path, str]:
    """Return this machine's hierarchies."""
    return hierarchies(Path("/proc/mounts").read_text(encoding="utf-8"))


def missing_controllers() -> list[str]:
    """Return the v2 controllers that a kubelet needs and that are off at the top; none on v1 and hybrid."""
    tops = mounted()
    if list(tops.values()) != ["cgroup2"]:
        return []
    (top,) = tops
    available = (top / "cgroup.controllers").read_text(encoding="ascii").split()
    enabled = (top / "cgroup.subtree_control").read_text(encoding="ascii").split()
    return [controller for controller in NEEDED_V2 if controller in available and controller not in enabled]


def create(name: str, controllers: Iterable[str]) -> None:
    """Switch the named v2 controllers on, and make the cgroup in every hierarchy."""
    for top, kind in mounted().items():
        if kind == "cgroup2":
            _switch_on(top, controllers)
        (top / name).mkdir(exist_ok=True)
        _inherit_cpuset(top, top / name)


def remove(name: str, controllers: Iterable[str]) -> None:
    """Remove the cgroup with all below it, and switch the named v2 controllers off again.

    Raises NodeError when processes are still in it after 10 s.
    """
    deadline = time.monotonic() + 10
    tops = mounted()
    while not _all_removed(top / name for top in tops):
        if time.monotonic() > deadline:
            raise NodeError(f"cgroup {name} is still in use; see `cat /sys/fs/cgroup/*/{name}/**/cgroup.procs`")
        time.sleep(0.05)
    for top, kind in tops.items():
        if kind == "cgroup2":
            for controller in controllers:
                # Another program may need the controller by now.
                with suppress(OSError):
                    (top / "cgroup.subtree_control").write_text(f"-{controller}", encoding="ascii")


def _switch_on(top: Path, controllers: Iterable[str]) -> None:
    for controller in controllers:
        try:
            (top / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
        except OSError as error:
            raise NodeError(
                f"Cannot enable cgroup controller {controller} in {top} ({error.strerror}): inside a container, "
                "use CLUSTER=kind or CLUSTER=current"
            ) from error


def _inherit_cpuset(top: Path, cgroup: Path) -> None:
    """Fill a new v1 cpuset: it accepts no process until it has processors and memory nodes."""
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (cgroup / setting).exists() and not (cgroup / setting).read_text(encoding="ascii").strip():
            value = (top / setting) if (top / setting).exists() else (top / f"{setting}.effective")
            (cgroup / setting).write_text(value.read_text(encoding="ascii"), encoding="ascii")


def _all_removed(directories: Iterable[Path]) -> bool:
    """Remove every cgroup, even if one fails; return whether all are gone."""
    return all([_removed(directory) for directory in directories])  # noqa: C419 (must not stop at the first)


def _removed(cgroup: Path) -> bool:
    if not cgroup.is_dir():
        return True
    children = sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True)
    for directory in [*children, cgroup]:
        with suppress(OSError):
            directory.rmdir()
    return not cgroup.exists()
