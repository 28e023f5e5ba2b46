"""Shows the progress of long work: one line that is rewritten on a terminal, or a line now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """Prints the current step and the time so far to standard error, so that standard output stays clean."""

    def __init__(
        self, stream: TextIO = sys.stderr, *, clock: Callable[[], float] = time.monotonic, every: float = 15.0
    ) -> None:
        """Start the clock; in a log, print an update at most once in `every` seconds."""
        self._stream = stream
        self._clock = clock
        self._every = every
        self._terminal = stream.isatty()
        self._began = clock()
        self._last = self._began

    def step(self, text: str) -> None:
        """Print a line that stays."""
        self._write(("\r\033[K" if self._terminal else "") + self._line(text) + "\n")

    def update(self, text: str) -> None:
        """Show a detail of the current step, which the next line replaces on a terminal."""
        if self._terminal:
            self._write(f"\r\033[K{self._line(text)[:100]}")
        elif self._clock() - self._last >= self._every:
            self._write(self._line(text) + "\n")

    def _line(self, text: str) -> str:
        return f"[{self._clock() - self._began:6.1f} s] {text}"

    def _write(self, text: str) -> None:
        self._last = self._clock()
        self._stream.write(text)
        self._stream.flush()
