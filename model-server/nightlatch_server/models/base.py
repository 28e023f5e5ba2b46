"""What the protocols and the batcher ask of a model. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TokenIds = Sequence[int]


class Embedder(Protocol):
    """Turns rows of token ids into vectors."""

    dimension: int
    max_tokens: int
    vocabulary: int

    def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids with the model's special tokens, cut at `max_tokens`. Thread-safe."""

    def run(self, rows: Sequence[TokenIds]) -> NDArray[np.float32]:
        """The vectors of `rows` in one forward pass, shape [len(rows), dimension], C-contiguous."""

    def warm_up(self) -> None:
        """One inference, so that the first caller doesn't pay for one-time set-up."""
