"""Reads the docstrings below a class's attributes from its source, for the field descriptions in the CRD.

Pydantic can do this at import (`use_attribute_docstrings`), but that costs every process 80 ms, and only the
generators need it.
"""

import ast
import functools
import inspect
import itertools
import sys
from types import ModuleType


@functools.cache
def attribute_docs(module: ModuleType) -> dict[str, dict[str, str]]:
    """The docstrings by class name and attribute name; empty if the source is not installed."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:
        return {}
    return {node.name: _documented(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def docs_of(model: type) -> dict[str, str]:
    """The docstrings of one class by attribute name, each as one line."""
    return attribute_docs(sys.modules[model.__module__]).get(model.__name__, {})


def _documented(node: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
