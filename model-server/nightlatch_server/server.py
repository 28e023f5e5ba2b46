"""The process: it opens the ports, loads the model, and serves until SIGTERM."""

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
from nightlatch_server.transport.http.connection import admit_all
from nightlatch_server.transport.http.limits import Limits
from nightlatch_server.transport.http.listener import Listener, bind

_log = logging.getLogger(__name__)

EXIT_OPTIONS, EXIT_PACKAGE, EXIT_MODEL = 2, 3, 4


class StartError(Exception):
    """The process cannot serve. `status` is its exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: Sequence[str]) -> None:
    """Run until SIGTERM or SIGINT, then exit the process; never returns."""
    options = parse(arguments)
    status = 0
    try:
        logs.configure(options.log_level, options.access_log)
        uvloop.run(Server(options).run())
    except StartError as error:
        status = error.status
        _log.critical("shutting down", extra={"error": str(error)})
        _leave_message(options.termination_message, str(error))
    except OSError as error:
        status = EXIT_OPTIONS
        _log.critical("cannot start", extra={"error": str(error)})
        _leave_message(options.termination_message, f"the model server cannot start: {error}")
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: another thread may still be importing torch, which crashes while the interpreter shuts down.
    os._exit(status)


def _leave_message(path: Path | None, message: str) -> None:
    if path is None:
        return
    try:
        path.write_text(message[:4096], encoding="utf-8")
    except OSError as error:
        _log.warning("cannot write the termination message", extra={"error": str(error)})


@dataclass(frozen=True, slots=True)
class _Security:
    """The TLS context that the serving port starts with, and the fingerprint of its files."""

    context: ssl.SSLContext | None
    known: tls.Fingerprint = ()


class Server:
    """Wires the parts together. There is one per process."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metrics = Metrics()
        self.lifecycle = Lifecycle()
        self.serving = Serving(options.model_name, self.lifecycle)
        self.metrics.watch(waiting=lambda: self.serving.depth, ready=lambda: float(self.lifecycle.ready))
        self._ending = asyncio.Event()
        self._hurried = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises StartError if the model cannot load, OSError if a port is in use."""
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
        await self._load_until_ending()
        await self._ending.wait()
        await self._drain(listener)
        for task in background:
            task.cancel()

    def _security(self) -> _Security:
        files = self.options.tls
        if files is None:
            _log.warning("no TLS (--insecure-plain): anyone who reaches the port can use the model")
            return _Security(None)
        try:
            known = files.fingerprint()
            return _Security(tls.server_context(files), known)
        except (OSError, ssl.SSLError) as error:
            raise StartError(EXIT_OPTIONS, f"cannot use the TLS files: {error}") from error

    def _listener(self) -> Listener:
        options = self.options
        admits = admit_all if options.admit is None else tls.admission(options.admit, self.metrics.connection_refused)
        app = App(self.serving, self.metrics, request_timeout=options.request_timeout, log_headers=options.log_headers)
        return Listener(bind(options.host, options.port), app, limits=Limits(body=options.max_body), admits=admits)

    def _announce(self, port: int, admin_port: int) -> None:
        ports = {"port": port, "admin_port": admin_port, "pid": os.getpid()}
        _log.info("listening", extra=ports)
        path = self.options.announce
        if path is not None:
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_bytes(orjson.dumps(ports))
            temporary.replace(path)

    async def _load_until_ending(self) -> None:
        """Load the model in a thread. Returns once it is served, or earlier if a signal ends the process."""
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
            raise StartError(EXIT_PACKAGE, f"the model package was refused: {error}") from error
        except Exception as error:
            _log.exception("cannot load the model")
            raise StartError(EXIT_MODEL, f"cannot load the model: {error}") from error
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
        _log.info(
            "ready", extra={"model": self.serving.name(), "digest": self.lifecycle.digest, "phase_seconds": phases}
        )

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)

    def _end(self) -> None:
        """On the first signal drain; on the second skip the rest of the delay."""
        if self._ending.is_set():
            self._hurried.set()
        self.lifecycle.drain()
        self._ending.set()

    async def _drain(self, listener: Listener) -> None:
        options = self.options
        _log.info("draining", extra={"delay": options.drain_delay, "timeout": options.drain_timeout})
        try:
            await asyncio.wait_for(self._hurried.wait(), options.drain_delay)
        except TimeoutError:
            _log.info("closing connections", extra={"open": len(listener.connections)})
        finished = await listener.drain(quiet=min(options.drain_delay, 1.0), timeout=options.drain_timeout)
        _log.log(logging.INFO if finished else logging.WARNING, "drained", extra={"complete": finished})
