"""The architectures that a package may name in `model.json`.

Each entry names a module and its `load` function. The module imports torch, so it is imported only when a package needs
it.
"""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.model_package.reader import Package
from nightlatch_server.models.base import Embedder

_BUILT_IN = {"text-embedding": "nightlatch_server.models.text_embedding:load"}


def check(architecture: str) -> None:
    """Raise PackageError if this server does not have `architecture`."""
    if architecture not in _BUILT_IN:
        raise PackageError(
            f"model.json: unknown architecture {architecture!r}; use one of: {', '.join(sorted(_BUILT_IN))}"
        )


def load(package: Package, device: str) -> Embedder:
    """Build the model of `package` on `device` (`cpu` or `cuda`). Raises PackageError if the weights do not fit."""
    check(package.manifest.architecture)
    module, _, function = _BUILT_IN[package.manifest.architecture].partition(":")
    build = cast("Callable[[Package, str], Embedder]", getattr(import_module(module), function))
    return build(package, device)
