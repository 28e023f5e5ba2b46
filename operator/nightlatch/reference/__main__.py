"""The pages of `docs/reference`, generated from the code.

`python -m nightlatch.reference DIR` writes them; with `--check` it writes nothing and fails if a page differs.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from nightlatch.reference import errors, metrics

HEADER = "<!-- Generated from the code by `make generate`. Change the code, not this page. -->\n\n"

PAGES: Mapping[str, Callable[[], str]] = {
    "errors.md": errors.render,
    "metrics.md": metrics.render,
}


def rendered() -> dict[str, str]:
    """The text of every page by file name."""
    return {name: HEADER + render() for name, render in PAGES.items()}


def outdated(directory: Path) -> tuple[str, ...]:
    """The pages in `directory` that are missing or differ from what the code says."""
    return tuple(
        name
        for name, text in rendered().items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    )


def write(directory: Path) -> None:
    """Write every page into `directory`, which is created if it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (directory / name).write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Run the command line in the module's docstring. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nightlatch.reference", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.directory)
        return 0
    found = outdated(options.directory)
    for name in found:
        sys.stderr.write(f"{options.directory / name} differs from the code: run `make generate` and commit it\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
