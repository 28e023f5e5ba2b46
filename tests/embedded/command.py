"""`nightlatch VERB …`, run to its end in a process of its own."""

import subprocess
import tempfile
from pathlib import Path

from nightlatch.cli import main
from tests.embedded.forked import Forked


def nightlatch(*arguments, timeout=60) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    arguments = [str(each) for each in arguments]
    with tempfile.TemporaryDirectory() as directory:
        out, err = (Path(directory) / stream for stream in ("stdout", "stderr"))
        process = Forked(main, arguments, out, err)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(arguments, status, out.read_text(), err.read_text())
