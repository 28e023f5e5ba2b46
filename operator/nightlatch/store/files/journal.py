"""The journal of all changes, in order: one JSON line each, with identities and labels only. Watches follow it.

A writer makes a change in three steps under the lock: it writes the intent to `pending.json`, the object to its file,
and the line to the journal. The next writer finishes what a killed one left: if the object is in place, it adds the
line, otherwise it drops the intent. So each resourceVersion is used once, and every visible change has its line.
"""

import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nightlatch.files import replace_file

ChangeType = Literal["Added", "Modified", "Deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the journal.

    labels: the labels after the change, or the last ones of a deleted object. before: the labels before, if different.
    """

    rv: int
    type: ChangeType
    kind: str
    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    before: dict[str, str] | None = None


class Position:
    """How far a reader has read: in which file (known by its first line), to which byte and resourceVersion."""

    def __init__(self, rv: int) -> None:
        self.rv = rv
        self.header = b""
        self.offset = 0


class CompactedError(Exception):
    """The lines after the position have been dropped."""


class Journal:
    """The journal of one directory. Everything but `last` and `read` needs the store's lock."""

    def __init__(self, directory: Path, *, limit: int = 1024 * 1024) -> None:
        self.path = directory / "journal.jsonl"
        self._pending = directory / "pending.json"
        self._limit = limit

    def start(self, highest: int) -> None:
        """Begin a new journal if the file is missing, damaged or behind an object.

        highest: the highest resourceVersion of all objects.
        """
        if not self.is_readable() or self.last() < highest:
            replace_file(self.path, _header(highest), durable=True)
            self.drop()

    def is_readable(self) -> bool:
        """True if there is a journal whose last line can be read."""
        try:
            return self.last() >= 0
        except (FileNotFoundError, ValueError, KeyError, TypeError, IndexError):
            return False

    def last(self) -> int:
        """The newest resourceVersion. Raises ValueError, KeyError or IndexError if the file is damaged."""
        entry = json.loads(self._last_line())
        return int(entry["rv"] if "rv" in entry else entry["compacted"])

    def intend(self, change: Change) -> None:
        """Write the intent: the first step of a change."""
        replace_file(self._pending, json.dumps(asdict(change)).encode())

    def commit(self, change: Change) -> None:
        """Add the line and remove the intent: the last step of a change."""
        with self.path.open("ab") as file:
            file.write(_line(asdict(change)))
        self._pending.unlink(missing_ok=True)
        if self.path.stat().st_size > self._limit:
            self.compact(self._limit // 2)

    def abandoned(self) -> Change | None:
        """The change that a killed writer did not finish, if any. An incomplete last line is cut off."""
        try:
            change = Change(**json.loads(self._pending.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # a power cut: `start` repairs the journal when the store is opened
            self.drop()
            return None
        self._cut_torn_line()
        if change.rv > self.last():
            return change
        self.drop()
        return None

    def drop(self) -> None:
        """Remove an intent that was not carried out."""
        self._pending.unlink(missing_ok=True)

    def compact(self, limit: int = 0) -> None:
        """Keep only the newest lines, at most `limit` bytes. Watches from before them get ExpiredError."""
        newest, lines = self.last(), self.path.read_bytes().splitlines(keepends=True)[1:]
        sizes = itertools.accumulate(len(line) for line in reversed(lines))
        kept = lines[len(lines) - sum(1 for size in sizes if size <= limit) :]
        gone = json.loads(kept[0])["rv"] - 1 if kept else newest
        replace_file(self.path, _header(gone) + b"".join(kept), durable=True)

    def read(self, position: Position) -> list[Change]:
        """The changes after `position`, which moves behind them. Raises CompactedError."""
        text = self._unread(position)
        whole = text[: text.rfind(b"\n") + 1]
        position.offset += len(whole)
        changes = [change for line in whole.splitlines() if (change := _change(line)).rv > position.rv]
        position.rv = changes[-1].rv if changes else position.rv
        return changes

    def _unread(self, position: Position) -> bytes:
        with self.path.open("rb") as file:
            header = file.readline()
            if header != position.header:
                _check_not_gone(header, position.rv)
                position.header, position.offset = header, len(header)
            file.seek(position.offset)
            return file.read()

    def _last_line(self) -> bytes:
        """The last complete line, found in the last 64 KiB if possible."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for start in (max(0, size - 65536), 0):
                file.seek(start)
                text = file.read()
                lines = text[: text.rfind(b"\n") + 1].splitlines()
                if len(lines) > 1 or start == 0:
                    break
        return lines[-1]

    def _cut_torn_line(self) -> None:
        text = self.path.read_bytes()
        if not text.endswith(b"\n"):
            os.truncate(self.path, text.rfind(b"\n") + 1)


def _header(compacted: int) -> bytes:
    return _line({"compacted": compacted})


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _change(line: bytes) -> Change:
    try:
        return Change(**json.loads(line))
    except (ValueError, TypeError):
        raise CompactedError from None


def _check_not_gone(header: bytes, rv: int) -> None:
    """Raises CompactedError if lines after `rv` were dropped or the file is damaged."""
    try:
        compacted = int(json.loads(header)["compacted"])
    except (ValueError, KeyError, TypeError):
        raise CompactedError from None
    if compacted > rv:
        raise CompactedError
