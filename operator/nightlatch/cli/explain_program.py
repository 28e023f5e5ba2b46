"""Runs the gate's program, which explains what the gate would decide.

The question goes through a pipe, never through an argument, the environment or a file.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import orjson

from nightlatch.embedded.errors import UserError

_PATIENCE_S = 30.0
_HOW_TO_GET = "in a checkout run `make gate`; elsewhere run `pip install 'nightlatch[gateway]'`, which brings it"


def program() -> Path:
    """Where it is. Raises UserError if it is not there."""
    try:
        import nightlatch_gate  # noqa: PLC0415 - a distribution of its own, which the other verbs do not need
    except ImportError:
        raise UserError("nightlatch-gate is not installed, and explaining needs its program", _HOW_TO_GET) from None
    path = nightlatch_gate.program()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise UserError(f"the gate's program is missing: {path} cannot be run", _HOW_TO_GET)
    return path


def answer(path: Path, question: bytes) -> dict[str, Any]:
    """What the program says. Raises UserError if it says nothing."""
    try:
        done = subprocess.run([path], input=question, capture_output=True, check=False, timeout=_PATIENCE_S, env={})
    except OSError as error:
        raise UserError(f"the gate's program cannot be run: {error.strerror}: {path}", _HOW_TO_GET) from None
    except subprocess.TimeoutExpired:
        # Without the cause, whose attributes are the question.
        raise UserError(f"the gate's program did not answer within {_PATIENCE_S:.0f} s", "try again") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[:500] or f"it ended with status {done.returncode}"
        raise UserError(
            f"the gate's program cannot explain this: {said}",
            "nightlatch and nightlatch-gate must have the same version",
        )
    told: dict[str, Any] = orjson.loads(done.stdout)
    return told
