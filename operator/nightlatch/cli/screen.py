"""Prints lines for a person, with colours on a terminal and without any escape codes elsewhere."""

import sys
import time

from rich.console import Console
from rich.text import Text

from nightlatch.embedded.console.lines import Level, Line

_STYLES: dict[Level, str] = {"info": "", "good": "green", "bad": "red"}


class Screen:
    """Prints lines. It wraps and interprets nothing, so that snippets can be copied."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False)

    def say(self, line: Line) -> None:
        """Print a line with the time of day, or a block of lines without. Output is flushed, also into a pipe."""
        stamp = "" if "\n" in line.text else time.strftime("%H:%M:%S ")
        self._console.print(Text(stamp, style="dim").append(line.text, style=_STYLES[line.level]))
        sys.stdout.flush()

    def title(self, text: str) -> None:
        """Print a heading."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def plain(self, text: str, level: Level = "info") -> None:
        """Print a line without the time of day."""
        self._console.print(Text(text, style=_STYLES[level]))
        sys.stdout.flush()
