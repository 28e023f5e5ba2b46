"""What a person sees: coloured on a terminal, plain lines with no codes elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from nightlatch.embedded.console.lines import Level, Line

_STYLES: dict[Level, str] = {"info": "", "good": "green", "bad": "red"}


class Screen:
    """Lines with the time of day; nothing is wrapped or interpreted, so that snippets can be copied."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False)

    def say(self, line: Line) -> None:
        """One line, or a block, at once (also into a pipe)."""
        stamp = "" if "\n" in line.text else time.strftime("%H:%M:%S ")
        self._console.print(Text(stamp, style="dim").append(line.text, style=_STYLES[line.level]))
        sys.stdout.flush()

    def title(self, text: str) -> None:
        """A heading."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def plain(self, text: str, level: Level = "info") -> None:
        """A line without the time."""
        self._console.print(Text(text, style=_STYLES[level]))
        sys.stdout.flush()

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner on a terminal while something takes its time; nothing elsewhere."""
        if self._console.is_terminal:
            with self._console.status(text):
                yield
        else:
            yield
