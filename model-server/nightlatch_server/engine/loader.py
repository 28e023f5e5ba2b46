"""The slow part of the start-up: import torch while the package is read and hashed, build the model, run it once."""

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
from nightlatch_server.models import registry
from nightlatch_server.models.base import Embedder

_log = logging.getLogger(__name__)

T = TypeVar("T")
PhaseDone = Callable[[str, float], None]


def load(
    directory: Path, expect_digest: str | None, device: str, thread_count: int, lifecycle: Lifecycle, done: PhaseDone
) -> Embedder:
    """The model of the package in `directory`, ready to serve.

    Sets `lifecycle.manifest` and `lifecycle.digest` first, before the slow part. Calls `done` with the name and seconds
    of each phase. Raises PackageError or whatever torch raises.
    """
    started = time.monotonic()
    lifecycle.manifest, lifecycle.digest = read_manifest(directory, expect_digest)
    registry.check(lifecycle.manifest.architecture)

    def read() -> Package:
        with _phase("verify", done):
            return read_package(directory, lifecycle.digest)

    reading = in_thread(read, "package")
    with _phase("import", done):
        _import_torch(thread_count)
    package = reading.result()
    with _phase("load", done):
        model = registry.load(package, device)
    with _phase("warmup", done):
        model.warm_up()
    done("total", time.monotonic() - started)
    return model


def in_thread(function: Callable[[], T], name: str) -> Future[T]:
    """Run `function` in a daemon thread, which unlike a thread of an executor does not keep the process alive."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is read
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _import_torch(thread_count: int) -> None:
    """Import torch by name: a static import would run before the ports accept connections."""
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
    _log.info("start-up phase done", extra={"phase": name, "seconds": round(seconds, 4)})
