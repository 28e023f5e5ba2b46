"""Finds model servers that outlived their owner by their command line, and ends them."""

from collections.abc import Iterator
from pathlib import Path

import psutil

GRACE = 3.0


def reap_orphans(root: Path, *, grace: float = GRACE) -> int:
    """End every process of this user whose announce file is below `root`. Returns how many. Blocks up to `grace` s.

    The pids on record do not suffice: a pid may be reused, and a process may have started without a record yet. The
    announce file on the command line identifies the process. psutil checks its start time before each signal.
    """
    orphans = list(_announcing_below(root))
    for orphan in orphans:
        _signal(orphan, kill=False)
    _, stubborn = psutil.wait_procs(orphans, timeout=grace)
    for orphan in stubborn:
        _signal(orphan, kill=True)
    psutil.wait_procs(stubborn, timeout=grace)
    return len(orphans)


def _announcing_below(root: Path) -> Iterator[psutil.Process]:
    me = psutil.Process()
    for process in psutil.process_iter():
        try:
            mine = process.uids().real == me.uids().real and process.pid != me.pid
            if mine and process.status() != psutil.STATUS_ZOMBIE and _announces_below(process.cmdline(), root):
                yield process
        except psutil.Error:
            continue


def _announces_below(command: list[str], root: Path) -> bool:
    if "--announce" not in command[:-1]:
        return False
    return Path(command[command.index("--announce") + 1]).is_relative_to(root)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass
