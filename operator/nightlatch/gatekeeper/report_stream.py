"""The report stream: the leader connects to this gateway over mTLS, receives reports and sends directives.

Only the operator's SPIFFE identity is admitted. The newest stream is the leader's, so an older one is closed. The
certificates are read at each handshake, so they can be rotated without a restart.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from nightlatch.pki.material import TlsMaterial
from nightlatch.wire.report import Directives, GatewayReport
from nightlatch.wire.report_codec import ReportError, decode_directives, encode_report
from nightlatch.wire.report_service import METHOD, READS_METADATA, SERVICE

_log = logging.getLogger(__name__)

INTERVAL = 1.0
# Changes come in bursts, for example when a hundred calls are held: one report covers all of them.
DEBOUNCE = 0.02
# No more reports than this in any second, however much changes: the leader reads those of all gateways.
MOST_REPORTS = 10
# Seconds after which the whole is sent again.
REPEAT = 30.0


class ReportStream:
    """The gRPC service. `report()` gives the newest report; `changed()` has it sent soon."""

    def __init__(
        self, admits: str, report: Callable[[], GatewayReport], on_directives: Callable[[Directives], None]
    ) -> None:
        self._admits = admits
        self._report = report
        self._on_directives = on_directives
        self._wake = asyncio.Event()
        self._current: asyncio.Task[Any] | None = None

    @property
    def connected(self) -> bool:
        """True while a leader receives the reports."""
        return self._current is not None

    def changed(self) -> None:
        """Send a report soon."""
        self._wake.set()

    def handler(self) -> grpc.GenericRpcHandler:
        """For `grpc.aio.Server.add_generic_rpc_handlers`. The frames are bytes that contain JSON."""
        method = grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        if peer_identity(context) != self._admits:
            _log.warning("refused a peer on the report stream", extra={"identity": peer_identity(context)})
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only the operator may connect here")
        task = asyncio.current_task()
        self._replace(task)
        reader = asyncio.create_task(self._read(requests))
        try:
            sent: deque[float] = deque(maxlen=MOST_REPORTS)
            reads = _leader_reads(context)
            before, whole_at = None, 0.0
            while not reader.done():
                now, report = time.monotonic(), self._report()
                if before is None or now >= whole_at or reads == 1:
                    whole_at = now + REPEAT
                    yield encode_report(report, reads)
                else:
                    yield encode_report(report.since(before))
                before = report
                sent.append(now)
                await self._next(reader, sent)
        finally:
            reader.cancel()
            if self._current is task:
                self._current = None

    def _replace(self, task: asyncio.Task[Any] | None) -> None:
        if self._current:
            self._current.cancel()
        self._current = task

    async def _next(self, reader: asyncio.Task[None], sent: deque[float]) -> None:
        """Wait until something changed, a second passed or the leader disconnected. `sent`: times of past reports."""
        changed = asyncio.create_task(self._wake.wait())
        try:
            done, _ = await asyncio.wait({changed, reader}, timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if changed in done:
            next_allowed = sent[0] + 1.0 - time.monotonic() if len(sent) == MOST_REPORTS else 0.0
            await asyncio.sleep(max(DEBOUNCE, next_allowed))
            self._wake.clear()

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for frame in requests:
            try:
                self._on_directives(decode_directives(frame))
            except ReportError as error:
                _log.error("the leader sent an invalid message", extra={"error": str(error)})
                return


def peer_identity(context: Any) -> str:
    """The SPIFFE ID in the peer's verified certificate; empty unless there is exactly one."""
    ids = context.auth_context().get("peer_spiffe_id", ())
    return ids[0].decode() if len(ids) == 1 else ""


def _leader_reads(context: Any) -> int:
    said = dict(context.invocation_metadata() or ()).get(READS_METADATA, "1")
    return int(said) if said.isdecimal() else 1


def credentials(material: Callable[[], TlsMaterial]) -> Any:
    """Server credentials that read the newest certificate at each handshake and require one from the client."""

    def configuration() -> Any:
        tls = material()
        return grpc.ssl_server_certificate_configuration([(tls.private_key, tls.certificate)], tls.ca)

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration, require_client_authentication=True)
