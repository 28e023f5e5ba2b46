"""Between the protocols and the model: texts to tokens, tokens through the batcher, refusals while not ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from nightlatch_server.engine.batcher import Batcher, Bounds, Observer
from nightlatch_server.lifecycle import Lifecycle
from nightlatch_server.model_package.manifest import Manifest
from nightlatch_server.models.base import Embedder, TokenIds
from nightlatch_server.request_error import RequestError
from nightlatch_server.transport.http.message import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_INLINE_CHARACTERS = 4096
"""Up to this much text is tokenized on the event loop (some 100 µs); more goes to a thread of its own."""


class Serving:
    """The one model of this process, for the protocols to call."""

    def __init__(self, name: str | None, lifecycle: Lifecycle, timeout: float) -> None:
        self.lifecycle = lifecycle
        self._name = name
        self._timeout = timeout
        self._batcher: Batcher | None = None
        self._tokenizing = ThreadPoolExecutor(1, "tokenizer")
        self._inference = ThreadPoolExecutor(1, "inference")

    @property
    def depth(self) -> int:
        """Requests in the batcher."""
        return self._batcher.depth if self._batcher else 0

    def start(self, model: Embedder, bounds: Bounds, observer: Observer) -> None:
        """The model is there: ready. Called on the serving loop."""
        self._batcher = Batcher(model.run, self._inference, bounds, observer)
        self.lifecycle.loaded(model)

    def manifest(self) -> Manifest:
        """The package's manifest. Raises RequestError 503 until it is read."""
        if self.lifecycle.manifest is None:
            raise _not_yet()
        return self.lifecycle.manifest

    def name(self) -> str:
        """The name that callers use for the model."""
        return self._name or self.manifest().name

    def model(self) -> Embedder:
        """The loaded model. Raises RequestError 503 until it is loaded."""
        if self.lifecycle.model is None:
            raise _not_yet()
        return self.lifecycle.model

    def deadline(self, request: Request) -> float:
        """time.monotonic() at which the caller will have given up: our own limit, or less if Envoy says so."""
        expected = request.header(b"x-envoy-expected-rq-timeout-ms")
        seconds = self._timeout
        if expected is not None and expected.isdigit() and len(expected) < 10:
            seconds = min(seconds, int(expected) / 1000)
        return request.received + seconds

    async def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        """Rows of token ids, in order."""
        model = self.model()
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return model.tokenize(texts)
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, model.tokenize, texts)

    async def embed(self, rows: Sequence[TokenIds], deadline: float) -> NDArray[np.float32]:
        """Vectors, shape [len(rows), dimension]; at least one row. Raises RequestError 429, 503 or 504."""
        if self._batcher is None:
            raise _not_yet()
        return await self._batcher.submit(rows, deadline)


def _not_yet() -> RequestError:
    return RequestError(503, "the model is being loaded; try again shortly", code="model_loading", retry_after=1)
