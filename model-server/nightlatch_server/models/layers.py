"""torch's layers without their random initialisation: the weights come from the package.

On the `meta` device that initialisation goes through torch's decompositions, whose import (sympy and some 900 modules)
costs as much time as importing torch itself.
"""

from __future__ import annotations

from torch import nn


class Linear(nn.Linear):
    """A projection whose weights are assigned later."""

    def reset_parameters(self) -> None:
        """Nothing: see the module."""


class Embedding(nn.Embedding):
    """A table whose weights are assigned later."""

    def reset_parameters(self) -> None:
        """Nothing: see the module."""


class LayerNorm(nn.LayerNorm):
    """A normalisation whose weights are assigned later."""

    def reset_parameters(self) -> None:
        """Nothing: see the module."""
