"""The pages of `docs/reference`, generated from the code.

`python -m nightlatch.reference DIR` writes them; with `--check` it writes nothing and fails if a page differs.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from nightlatch.generated_files import write_or_check
from nightlatch.reference import annotations, api, cli, conditions, errors, metrics

HEADER = "<!-- Generated from the code by `make generate`. Change the code, not this page. -->\n\n"

PAGES: Mapping[str, Callable[[], str]] = {
    "annotations.md": annotations.render,
    "api.md": api.render,
    "cli.md": cli.render,
    "conditions.md": conditions.render,
    "errors.md": errors.render,
    "metrics.md": metrics.render,
}


def rendered(directory: Path) -> dict[Path, str]:
    """The text of each page below `directory`."""
    return {directory / name: HEADER + render() for name, render in PAGES.items()}


def main(arguments: list[str]) -> int:
    """Run the command line in the module's docstring. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nightlatch.reference", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs")
    options = parser.parse_args(arguments)
    return write_or_check(rendered(options.directory), check=options.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
