"""`python -m nightlatch.reference docs/reference [--check]`: write the reference pages, or fail if one differs."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from nightlatch.reference import metrics

PAGES: dict[str, Callable[[], str]] = {"metrics.md": metrics.page}


def main() -> int:
    """Exit status 0, or 1 if `--check` found a page that differs."""
    parser = argparse.ArgumentParser(prog="python -m nightlatch.reference", description="Write the reference pages.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs")
    arguments = parser.parse_args()
    differing = []
    for name, page in PAGES.items():
        path = arguments.directory / name
        if arguments.check:
            differing += [path] if not path.is_file() or path.read_text(encoding="utf-8") != page() else []
        else:
            path.write_text(page(), encoding="utf-8")
    for path in differing:
        sys.stderr.write(f"{path} is out of date: run `make generate` and commit it\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
