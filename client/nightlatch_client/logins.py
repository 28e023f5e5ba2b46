"""What `nightlatch token login` keeps: a file for each login, which its owner alone can read."""

import contextlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightlatch_client.errors import TokenError

_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Login:
    """client: how to make the Client again; names of files, no secrets. expires_at: by our wall clock."""

    client: dict[str, Any]
    access_token: str = field(repr=False)
    kind: str
    asked_at: float
    lifetime_s: float | None
    refresh_token: str | None = field(default=None, repr=False)
    key: dict[str, Any] | None = field(default=None, repr=False)


class Logins:
    """The logins below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> Login | None:
        """None if nobody has logged in. Raises TokenError for a file that others can read."""
        path = self.path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenError(f"cannot read the login in {path}: {error.strerror}") from None
        with os.fdopen(descriptor, encoding="utf-8") as file:
            _require_ours(path, os.fstat(descriptor))
            return _parsed(file.read(), path)

    def write(self, name: str, login: Login) -> None:
        """In one step, and on the disk before this returns: an old refresh token may be good for nothing afterwards."""
        path = self.path(name)
        self._make_folder()
        content = {"format": _FORMAT} | {part: getattr(login, part) for part in Login.__slots__}
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".part")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def remove(self, name: str) -> None:
        """Forget it, if there is one."""
        self.path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Keeps other processes from renewing this login: many providers take a refresh token only once."""
        try:
            import fcntl  # noqa: PLC0415 - Windows has none, and programs there need no logins
        except ImportError:
            raise TokenError("logins are kept on Linux and macOS alone") from None
        self._make_folder()
        path = self.path(name).with_suffix(".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def path(self, name: str) -> Path:
        """Raises TokenError for a name that is none."""
        if not _NAME.fullmatch(name):
            raise TokenError(f"{name[:80]!r} is not a name of a login: use letters, digits, '.', '_' and '-'")
        return self.folder / f"{name}.json"

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.stat()
        except OSError as error:
            raise TokenError(f"cannot keep logins in {self.folder}: {error.strerror}") from None
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise TokenError(f"others may write to {self.folder}: chmod 700 {self.folder}")


def folder(environment: Mapping[str, str]) -> Path:
    """By the XDG Base Directory Specification: state, because a refresh token cannot be made again."""
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return base / "nightlatch" / "logins"


def _require_ours(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise TokenError(f"others can read {path}: whoever did can call in your name; log out, and log in again")


def _parsed(text: str, path: Path) -> Login:
    try:
        content = json.loads(text)
        if content.pop("format") == _FORMAT:
            return Login(**content)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise TokenError(f"{path} is not a login of this version: log out, and log in again")
