"""`nightlatch VERB …`, run to its end in a process of its own.

The process is forked from one that has already imported everything: thirty commands cost one start of the interpreter
and of gRPC, not thirty. That `python -m nightlatch` starts is what every running `up` shows.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        __name__,
        *(
            f"nightlatch.cli.{verb}"
            for verb in ("up", "get", "call", "logs", "delete", "rotate", "revoke", "inspect", "package")
        ),
    ]
)


def nightlatch(*arguments, timeout=60) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    arguments = [str(each) for each in arguments]
    with tempfile.TemporaryDirectory() as directory:
        printed = [Path(directory) / stream for stream in ("stdout", "stderr")]
        process = _SERVER.Process(target=_run, args=(arguments, printed))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout)
        stdout, stderr = (path.read_text() for path in printed)
    return subprocess.CompletedProcess(arguments, process.exitcode, stdout, stderr)


def _run(arguments, printed):
    from nightlatch.cli import main

    for stream, path in zip((sys.stdout, sys.stderr), printed, strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream.fileno())
        os.close(file)
    main(arguments)
