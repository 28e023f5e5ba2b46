"""The process: ports first, then the model, then requests, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop

from nightlatch_server import admin, logs
from nightlatch_server.engine import loader, threads
from nightlatch_server.engine.batcher import Bounds
from nightlatch_server.engine.serving import Serving
from nightlatch_server.lifecycle import Lifecycle
from nightlatch_server.metrics import Metrics
from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.models.base import Embedder
from nightlatch_server.options import Options, parse
from nightlatch_server.protocols.app import App
from nightlatch_server.transport.http import tls
from nightlatch_server.transport.http.limits import Limits
from nightlatch_server.transport.http.listener import Listener, admit_all, bind

log = logging.getLogger(__name__)

EXIT_OPTIONS, EXIT_PACKAGE, EXIT_MODEL = 2, 3, 4


class StartError(Exception):
    """The process can't serve; `status` is its exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: Sequence[str]) -> None:
    """Run until told to end; never returns."""
    options = parse(arguments)
    status = 0
    try:
        logs.configure(options.log_level, options.access_log)
        uvloop.run(Server(options).run())
    except StartError as error:
        status = error.status
        log.critical("the server ends: %s", error)
        _leave_message(options.termination_message, str(error))
    except OSError as error:
        status = EXIT_OPTIONS
        log.critical("the server can't start: %s", error)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: torch may still be importing in its thread, and an interpreter that is torn down under it crashes.
    os._exit(status)


def _leave_message(path: Path | None, message: str) -> None:
    if path is None:
        return
    try:
        path.write_text(message[:4096], encoding="utf-8")
    except OSError as error:
        log.warning("no termination message could be written: %s", error)


@dataclass(frozen=True, slots=True)
class _Security:
    """What the serving port starts with."""

    context: ssl.SSLContext | None
    known: tls.Fingerprint = ()


class Server:
    """Wires the parts together; one per process."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metrics = Metrics()
        self.lifecycle = Lifecycle()
        self.serving = Serving(options.model_name, self.lifecycle, options.request_timeout)
        self.metrics.watch(waiting=lambda: self.serving.depth, ready=lambda: float(self.lifecycle.ready))
        self._ending = asyncio.Event()
        self._hurried = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises StartError if the model can't be loaded, OSError for a port in use."""
        security = self._security()
        listener = self._listener()
        admin_sock = bind(self.options.admin_host or self.options.host, self.options.admin_port)
        admin_port = int(admin_sock.getsockname()[1])
        self._catch_signals()
        await listener.serve(security.context)
        admin.start(admin_sock, admin.Admin(self.lifecycle, self.metrics))
        self._announce(listener.port, admin_port)
        background = [asyncio.create_task(listener.sweep())]
        if self.options.tls is not None:
            background.append(
                asyncio.create_task(
                    tls.follow(self.options.tls, security.known, listener.serve, self.metrics.tls_reload)
                )
            )
        await self._load_or_end()
        await self._ending.wait()
        await self._drain(listener)
        for task in background:
            task.cancel()

    # -- start -------------------------------------------------------------------------------------------------------

    def _security(self) -> _Security:
        files = self.options.tls
        if files is None:
            log.warning("--insecure-plain: no TLS, anyone who reaches the port can use the model")
            return _Security(None)
        try:
            known = files.fingerprint()
            return _Security(tls.server_context(files), known)
        except (OSError, ssl.SSLError) as error:
            raise StartError(EXIT_OPTIONS, f"the TLS files can't be used: {error}") from error

    def _listener(self) -> Listener:
        options = self.options
        admits = admit_all if options.admit is None else tls.admission(options.admit, self.metrics.connection_refused)
        app = App(self.serving, self.metrics, log_headers=options.log_headers)
        return Listener(bind(options.host, options.port), app, limits=Limits(body=options.max_body), admits=admits)

    def _announce(self, port: int, admin_port: int) -> None:
        ports = {"port": port, "admin_port": admin_port, "pid": os.getpid()}
        log.info("listening", extra=ports)
        path = self.options.announce
        if path is not None:
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_bytes(orjson.dumps(ports))
            temporary.replace(path)

    async def _load_or_end(self) -> None:
        """Load the model in a thread; come back when it serves, or when the process is told to end before that."""
        loading = asyncio.wrap_future(loader.in_thread(self._load, "loader"))
        ending = asyncio.create_task(self._ending.wait())
        awaited: list[asyncio.Future[Any]] = [loading, ending]
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not loading.done():
            return
        try:
            model = loading.result()
        except PackageError as error:
            raise StartError(EXIT_PACKAGE, f"the model package is refused: {error}") from error
        except Exception as error:
            log.exception("the model could not be loaded")
            raise StartError(EXIT_MODEL, f"the model could not be loaded: {error}") from error
        self._serve(model)

    def _load(self) -> Embedder:
        options = self.options
        count = options.threads or threads.available()
        return loader.load(
            options.model_dir, options.expect_digest, options.device, count, self.lifecycle, self._phase_done
        )

    def _phase_done(self, name: str, seconds: float) -> None:
        self.lifecycle.phases[name] = seconds
        self.metrics.phase(name, seconds)

    def _serve(self, model: Embedder) -> None:
        bounds = Bounds(self.serving.manifest().batching.max_cost, self.options.max_queue)
        self.serving.start(model, bounds, self.metrics)
        phases = {name: round(seconds, 4) for name, seconds in self.lifecycle.phases.items()}
        log.info(
            "ready", extra={"model": self.serving.name(), "digest": self.lifecycle.digest, "phase_seconds": phases}
        )

    # -- end ---------------------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)

    def _end(self) -> None:
        """First signal: drain. Second: skip the rest of the delay."""
        if self._ending.is_set():
            self._hurried.set()
        self.lifecycle.drain()
        self._ending.set()

    async def _drain(self, listener: Listener) -> None:
        options = self.options
        log.info("draining", extra={"delay": options.drain_delay, "timeout": options.drain_timeout})
        try:
            await asyncio.wait_for(self._hurried.wait(), options.drain_delay)
        except TimeoutError:
            log.info("closing connections", extra={"open": len(listener.connections)})
        finished = await listener.drain(quiet=min(options.drain_delay, 1.0), timeout=options.drain_timeout)
        log.log(logging.INFO if finished else logging.WARNING, "drained", extra={"complete": finished})
