"""Checks that what our texts point at is in this repository: `python -m tools.check_docs [PATH...]`.

It looks at links and paths in Markdown, at paths in the docstrings and comments of Python, and everywhere for words
that stand for a page which readers do not have. PATHs limit it to those files and folders, as git pathspecs.
"""

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
# Pages leave these roots out where the text makes clear which one is meant.
ROOTS = (
    "",
    "operator/nightlatch",
    "model-server/nightlatch_server",
    "client/nightlatch_client",
    "tests/embedded",
    "tests/cluster",
)
# Made by `make`, or part of a package that we install.
NOT_OURS = ("models/", "envoy/")
PLACEHOLDER = re.compile(r"\b(?:NAME|NAMESPACE|PLURAL|DIR|N)\b")
SOURCE_SUFFIXES = {".go", ".json", ".lua", ".md", ".py", ".rs", ".sh", ".toml", ".tpl", ".txt", ".yaml"}
TEXT_SUFFIXES = SOURCE_SUFFIXES - {".json", ".txt"} | {""}

CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"(?<![\w/.~:@$=*<>-])([A-Za-z_.][\w.-]*(?:/[\w.*-]+)+)")
ELSEWHERE = re.compile(r"\bdecisions\.md|\bAPI page\b|\bthe design\b", re.IGNORECASE)


@dataclass(frozen=True)
class Text:
    """A piece of prose: the file it is in, and the line it starts at."""

    file: Path
    line: int
    text: str

    def at(self, offset: int) -> str:
        """Return FILE:LINE of a character of the text."""
        return f"{self.file.relative_to(REPOSITORY)}:{self.line + self.text.count(chr(10), 0, offset)}"


def problems(files: Iterable[Path]) -> Iterator[str]:
    """Yield one sentence for each dead reference in `files`, which are tracked files of the repository."""
    top_level = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    for file in files:
        for text in prose(file):
            yield from _dead_links(text)
            yield from _dead_paths(text, top_level)
        if file.suffix in TEXT_SUFFIXES and file != Path(__file__):
            yield from _pages_elsewhere(Text(file, 1, file.read_text(encoding="utf-8")))


def prose(file: Path) -> Iterator[Text]:
    """Yield a page whole, and of a Python file its docstrings and comments."""
    if file.suffix == ".md":
        yield Text(file, 1, file.read_text(encoding="utf-8"))
    elif file.suffix == ".py":
        yield from _docstrings(file)
        yield from _comments(file)


def _docstrings(file: Path) -> Iterator[Text]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                yield Text(file, node.body[0].lineno, docstring)


def _comments(file: Path) -> Iterator[Text]:
    with file.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT:
                yield Text(file, token.start[0], token.string)


def _dead_links(text: Text) -> Iterator[str]:
    # Blanks of the same length keep the offsets: a regular expression in code looks like a link.
    outside_code = CODE_SPAN.sub(lambda span: " " * len(span[0]), text.text)
    for link in LINK.finditer(outside_code) if text.file.suffix == ".md" else ():
        target = link[1]
        if ":" not in target and not (text.file.parent / target).exists():
            yield f"{text.at(link.start())}: there is no {target} to link to: correct the link"


def _dead_paths(text: Text, top_level: set[str]) -> Iterator[str]:
    for found in PATH.finditer(text.text):
        path = found[1].rstrip(".-")
        names_a_file = Path(path).suffix in SOURCE_SUFFIXES or path.split("/")[0] in top_level
        if path.startswith(NOT_OURS) or PLACEHOLDER.search(path):
            continue
        if names_a_file and not _exists(text.file, path):
            yield f"{text.at(found.start())}: there is no {path} in this repository: name the file that took its place"


def _exists(file: Path, path: str) -> bool:
    """Look for the path below the file's own folders, from the nearest one up, and below the usual roots."""
    own = [folder for folder in file.parents if folder.is_relative_to(REPOSITORY)]
    return any(any(folder.glob(path)) for folder in [*own, *(REPOSITORY / root for root in ROOTS)])


def _pages_elsewhere(text: Text) -> Iterator[str]:
    for found in ELSEWHERE.finditer(text.text):
        yield f"{text.at(found.start())}: {found[0]!r} is not in this repository: say what it says, or link to docs/"


def _tracked(below: list[str]) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *below],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    paths = (REPOSITORY / name for name in listed.stdout.splitlines())
    return [path for path in paths if path.is_file() and not path.is_symlink()]


if __name__ == "__main__":
    sys.exit("\n".join(problems(_tracked(sys.argv[1:]))) or 0)
