"""Start-up's heavy part: import torch while the package is read and hashed, build the model, run it once."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from nightlatch_server.engine import threads
from nightlatch_server.lifecycle import Lifecycle
from nightlatch_server.model_package.reader import Package, read_manifest, read_package
from nightlatch_server.models import registry as architectures
from nightlatch_server.models.base import Embedder

log = logging.getLogger(__name__)

T = TypeVar("T")
PhaseDone = Callable[[str, float], None]


def load(
    directory: Path, expect_digest: str | None, device: str, thread_count: int, lifecycle: Lifecycle, done: PhaseDone
) -> Embedder:
    """The package's model, ready to serve; sets `lifecycle.manifest` early. Raises PackageError or torch's errors."""
    started = time.monotonic()
    lifecycle.manifest, lifecycle.digest = read_manifest(directory, expect_digest)
    architectures.check(lifecycle.manifest.architecture)
    reading = in_thread(lambda: _read(directory, lifecycle.digest, done), "package")
    with _phase("import", done):
        _import_torch(thread_count)
    package = reading.result()
    with _phase("load", done):
        model = architectures.load(package, device)
    with _phase("warmup", done):
        model.warm_up()
    done("total", time.monotonic() - started)
    return model


def in_thread(function: Callable[[], T], name: str) -> Future[T]:
    """Run `function` in a daemon thread: unlike an executor's, it doesn't keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  # handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _read(directory: Path, digest: str, done: PhaseDone) -> Package:
    with _phase("verify", done):
        return read_package(directory, digest)


def _import_torch(thread_count: int) -> None:
    threads.prepare_environment(os.environ, thread_count)
    torch = import_module("torch")
    torch.set_num_threads(thread_count)
    torch.set_num_interop_threads(1)
    import_module("tokenizers")


@contextmanager
def _phase(name: str, done: PhaseDone) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    done(name, seconds)
    log.info("start-up phase done", extra={"phase": name, "seconds": round(seconds, 4)})
