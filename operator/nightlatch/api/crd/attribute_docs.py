"""Docstrings under a class's attributes, read from its source: they become the field descriptions of `kubectl explain`.

Pydantic can do this at import (`use_attribute_docstrings`), which cost every process 80 ms;
only the generator needs them.
"""

import ast
import functools
import inspect
import itertools
import sys
from types import ModuleType


@functools.cache
def attribute_docs(module: ModuleType) -> dict[str, dict[str, str]]:
    """Docstring by class name and attribute name. Empty where the source is not installed."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:
        return {}
    return {node.name: _documented(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def docs_of(model: type) -> dict[str, str]:
    """Docstring by attribute name of one class."""
    return attribute_docs(sys.modules[model.__module__]).get(model.__name__, {})


def _documented(node: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
