"""The models that can be built, by the name that a package's `architecture` gives.

An entry names a module and its `load` function; importing it brings torch in, so that waits for a package to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.model_package.reader import Package
from nightlatch_server.models.base import Embedder

_BUILT_IN = {"text-embedding": "nightlatch_server.models.text_embedding:load"}


def check(architecture: str) -> None:
    """Raise PackageError for a name that no model here answers to."""
    if architecture not in _BUILT_IN:
        raise PackageError(f"unknown architecture {architecture!r}; this server has: {', '.join(sorted(_BUILT_IN))}")


def load(package: Package, device: str) -> Embedder:
    """Build the package's model on `device` (`cpu` or `cuda`). Raises PackageError when the weights don't fit it."""
    check(package.manifest.architecture)
    module, _, function = _BUILT_IN[package.manifest.architecture].partition(":")
    build = cast("Callable[[Package, str], Embedder]", getattr(import_module(module), function))
    return build(package, device)
