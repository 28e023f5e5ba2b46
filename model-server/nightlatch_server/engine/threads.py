"""How many CPUs this process may use, and the environment variables that torch reads when it is imported."""

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def cpu_quota(root: Path = _CGROUP_ROOT, own: Path = _OWN_CGROUP) -> float | None:
    """CPUs that the tightest cgroup quota allows (v2 `cpu.max`, v1 `cpu.cfs_quota_us`); None if there is no quota."""
    quotas = [quota for directory in _directories(root, own) if (quota := _quota(directory)) is not None]
    return min(quotas, default=None)


def intra_op_threads(quota: float | None, affinity: int) -> int:
    """Threads for one operator: whole CPUs only, because all threads wait for one that has no CPU."""
    return max(1, min(affinity, int(quota) if quota is not None else affinity))


def available() -> int:
    """`intra_op_threads` of this process."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return intra_op_threads(cpu_quota(), affinity)


def prepare_environment(environment: MutableMapping[str, str], threads: int) -> None:
    """Set the variables that OpenMP, MKL and tokenizers read when they are loaded, unless they are set already.

    Waiting OpenMP threads must sleep: with the default (spinning) a busy machine with 2 cores took 684 ms, not 27.
    """
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    environment.setdefault("MKL_NUM_THREADS", str(threads))
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")


def _directories(root: Path, own: Path) -> Iterator[Path]:
    """The cgroup directories that apply to this process, of both versions, from its own up to the root."""
    for line in _read(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        base = root / "cpu" if "cpu" in controllers.split(",") else root
        if controllers and base == root:
            continue
        relative = Path(path.lstrip("/"))
        for part in (relative, *relative.parents):
            yield base / part


def _quota(directory: Path) -> float | None:
    fields = _read(directory / "cpu.max").split()
    if not fields:
        fields = [_read(directory / "cpu.cfs_quota_us").strip(), _read(directory / "cpu.cfs_period_us").strip()]
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or int(fields[1]) == 0:
        return None
    return int(fields[0]) / int(fields[1])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
