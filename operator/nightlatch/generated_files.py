"""Files that are made from the code and committed: write them, or find those that differ."""

import sys
from collections.abc import Mapping
from pathlib import Path


def outdated(files: Mapping[Path, str]) -> tuple[Path, ...]:
    """The files that are missing or hold another text."""
    return tuple(path for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text)


def write_or_check(files: Mapping[Path, str], *, check: bool) -> int:
    """Write the files, and directories that are missing; or name the outdated ones. Returns an exit status."""
    if not check:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return 0
    found = outdated(files)
    for path in found:
        sys.stderr.write(f"{path} differs from the code: run `make generate` and commit it\n")
    return 1 if found else 0
