"""The model server is a distribution of its own: it declares what its code imports."""

import ast
import sys
import tomllib
from pathlib import Path

import nightlatch_server

PACKAGE = Path(nightlatch_server.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]


def imported(source: str) -> set[str]:
    """The top-level names of all modules that `source` imports."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_everything_that_the_code_imports_is_a_dependency() -> None:
    names = set[str]().union(*(imported(path.read_text()) for path in PACKAGE.rglob("*.py")))
    foreign = names - sys.stdlib_module_names - {"nightlatch_server"}
    declared = {line.partition(">")[0].partition("=")[0].replace("-", "_") for line in PROJECT["dependencies"]}
    assert foreign - declared == set()


def test_every_folder_has_a_package_docstring_of_several_sentences() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert docstring.count(". ") + docstring.count(".\n") >= 2, path
