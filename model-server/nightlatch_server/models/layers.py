"""torch's layers without their random initialisation, because the weights come from the package.

On the `meta` device the initialisation uses torch's decompositions, and importing those (sympy and some 900 modules)
takes as long as importing torch itself.
"""

from torch import nn


class Linear(nn.Linear):
    """A projection."""

    def reset_parameters(self) -> None:
        """Leave the weights unset."""


class Embedding(nn.Embedding):
    """A table of vectors."""

    def reset_parameters(self) -> None:
        """Leave the weights unset."""


class LayerNorm(nn.LayerNorm):
    """A normalisation."""

    def reset_parameters(self) -> None:
        """Leave the weights unset."""
