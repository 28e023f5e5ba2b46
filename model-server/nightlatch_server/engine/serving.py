"""What the protocols call: texts become tokens, tokens go through the batcher, and requests are refused until ready."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from nightlatch_server import caller_errors
from nightlatch_server.engine.batcher import Batcher, Bounds, Observer
from nightlatch_server.lifecycle import Lifecycle
from nightlatch_server.model_package.manifest import Manifest
from nightlatch_server.models.base import Embedder, TokenIds, Vectors
from nightlatch_server.request_error import RequestError

_INLINE_CHARACTERS = 4096
"""Text up to this length is tokenized on the event loop (about 100 µs); a longer one in a separate thread."""


class Serving:
    """The one model of this process and the queue in front of it."""

    def __init__(self, name: str | None, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle
        self._name = name
        self._batcher: Batcher | None = None
        self._tokenizing = ThreadPoolExecutor(1, "tokenizer")
        self._inference = ThreadPoolExecutor(1, "inference")

    @property
    def depth(self) -> int:
        """Requests that wait or run."""
        return self._batcher.depth if self._batcher else 0

    def start(self, model: Embedder, bounds: Bounds, observer: Observer) -> None:
        """Become ready with the loaded model. Call this on the serving loop."""
        self._batcher = Batcher(model.run, self._inference, bounds, observer)
        self.lifecycle.loaded(model)

    def manifest(self) -> Manifest:
        """The manifest of the package. Raises RequestError 503 until it has been read."""
        if self.lifecycle.manifest is None:
            raise _model_loading()
        return self.lifecycle.manifest

    def name(self) -> str:
        """The name that callers use for the model."""
        return self._name or self.manifest().name

    def model(self) -> Embedder:
        """The model. Raises RequestError 503 until it is loaded."""
        if self.lifecycle.model is None:
            raise _model_loading()
        return self.lifecycle.model

    async def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        """One row of token ids per text, in order. Raises RequestError 503 until the model is loaded."""
        model = self.model()
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return model.tokenize(texts)
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, model.tokenize, texts)

    async def embed(self, rows: Sequence[TokenIds], deadline: float) -> Vectors:
        """The vectors of at least one row, shape [len(rows), dimension]. Raises RequestError 429, 503 or 504."""
        if self._batcher is None:
            raise _model_loading()
        return await self._batcher.submit(rows, deadline)


def _model_loading() -> RequestError:
    return RequestError(caller_errors.MODEL_LOADING)
