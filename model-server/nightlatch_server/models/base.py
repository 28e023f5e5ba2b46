"""What the engine and the protocols need of a model. Imports neither torch nor, at run time, numpy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TokenIds = Sequence[int]
Vectors: TypeAlias = "NDArray[np.float32]"
"""Quoted, because numpy is loaded together with torch, after the ports accept connections."""


class Embedder(Protocol):
    """Turns rows of token ids into vectors."""

    dimension: int
    max_tokens: int
    vocabulary: int

    def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        """One row per text: token ids with the model's special tokens, truncated to `max_tokens`. Thread-safe."""

    def run(self, rows: Sequence[TokenIds]) -> Vectors:
        """The vectors of `rows` in one forward pass, shape [len(rows), dimension], C-contiguous."""

    def warm_up(self) -> None:
        """Run once, so that the first caller does not wait for one-time set-up."""
