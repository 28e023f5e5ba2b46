"""The directory of a FilesStore: only its owner may open it (mode 0700), or it is refused with advice."""

import os
import stat
from pathlib import Path

from nightlatch.store.protocol import StoreError

# A directory with one of these is a state directory, so its mode may be tightened.
_MARKS = ("objects", "journal.jsonl", "lock")


class StateDirectoryError(StoreError):
    """The state directory cannot be used. The message says what to do."""


def prepared(directory: Path) -> Path:
    """The directory, created if it is missing and closed to other users. Raises StateDirectoryError."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        _keep_private(directory)
        (directory / "objects").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StateDirectoryError(
            f"cannot use {directory} as the state directory: {error.strerror}: choose another with --state-dir"
        ) from error
    return directory


def existing(directory: Path) -> Path:
    """The directory of a store that another process writes. Raises StateDirectoryError if it cannot be read."""
    if not os.access(directory / "journal.jsonl", os.R_OK):
        raise StateDirectoryError(
            f"no state to read in {directory}: start `nightlatch up` first, or name its directory with --state-dir"
        )
    return directory


def _keep_private(directory: Path) -> None:
    found = directory.stat()
    if found.st_uid != os.geteuid():
        raise StateDirectoryError(
            f"{directory} belongs to user {found.st_uid}, and you are {os.geteuid()}: private keys are kept there, "
            "so choose a directory of your own with --state-dir"
        )
    if not stat.S_IMODE(found.st_mode) & 0o077:
        return
    if any(directory.iterdir()) and not any((directory / mark).exists() for mark in _MARKS):
        raise StateDirectoryError(
            f"{directory} holds other things and is open to other users: choose an empty directory with --state-dir, "
            f"or run: chmod 700 {directory}"
        )
    directory.chmod(0o700)
