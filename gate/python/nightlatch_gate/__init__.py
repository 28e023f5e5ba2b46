"""Where the gate is on disk, and for which Envoy it was built.

The gate is a library that Envoy loads (a dynamic module), written in Rust in `gate/src`; beside it is a program of the
same code that explains its decisions. This package only names their places: it loads nothing and imports nothing of
Nightlatch. Start with `directory()`.
"""

from pathlib import Path

# The version of Envoy's dynamic-module ABI that the gate is built for. Envoy itself only warns if its own differs.
ABI = "v0.2.0"


def directory() -> Path:
    """The value of ENVOY_DYNAMIC_MODULES_SEARCH_PATH with which Envoy finds the module `nightlatch_gate`."""
    return Path(__file__).parent


def path() -> Path:
    """The library. In a checkout it exists once `make` has built it."""
    return directory() / "libnightlatch_gate.so"


def program() -> Path:
    """The program that `nightlatch explain` runs. In a checkout it exists once `make` has built it."""
    return directory() / "nightlatch-explain"
