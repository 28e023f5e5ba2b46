"""CPU time of a process and what else the machine was doing."""

import os
from dataclasses import dataclass

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system time so far, all threads (on Linux from /proc/PID/stat, in steps of 10 ms)."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def resident_mib(pid: int) -> float:
    """Memory in RAM, MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


@dataclass(frozen=True, slots=True)
class Machine:
    """What a result must be read beside. load: of the last minute, before the benchmark began."""

    cores: int
    memory_gib: float
    load: float

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.memory_gib:.0f} GiB; load average before the run {self.load:.1f}"


def machine() -> Machine:
    """This machine, now."""
    return Machine(os.cpu_count() or 1, psutil.virtual_memory().total / 2**30, os.getloadavg()[0])
