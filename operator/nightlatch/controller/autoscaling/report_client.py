"""The leader's end of the report streams: it dials every gateway over mTLS and keeps one stream to each.

Each stream begins with the complete state in both directions, so a new stream makes up for everything that a broken one
lost. A gateway that sends nothing for SILENCE seconds counts as disconnected.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName
from nightlatch.controller.autoscaling.gateways import Address, GatewayDirectory, Members
from nightlatch.pki.material import PkiError, TlsMaterial
from nightlatch.planning.secrets import view_secret
from nightlatch.store.protocol import Store, StoreError
from nightlatch.wire.report import Directive, Directives, GatewayReport
from nightlatch.wire.report_codec import ReportError, decode_report, encode_directives
from nightlatch.wire.report_service import METHOD_PATH, READS_METADATA
from nightlatch.wire.route_document import FORMAT

# Seconds. A gateway sends a report every second.
SILENCE = 5.0
# Seconds after which the complete set of directives is sent again, in case a gateway missed one.
REPEAT = 10.0
FIRST_RETRY, LONGEST_RETRY = 0.1, 2.0
# Seconds between two looks for a renewed certificate: an open stream would outlive the certificate it began with.
RENEWAL_LOOK = 60.0

_log = logging.getLogger(__name__)
_OPTIONS = (
    ("grpc.ssl_target_name_override", names.GATEWAY_REPORT_NAME),
    # Otherwise channels to one address share a connection, and with it the certificate and gRPC's back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


class ReportSink(Protocol):
    """Receives what gateways report. Called on the event loop; must not block."""

    def members(self, gateways: frozenset[str]) -> None:
        """These are all gateways."""

    def reported(self, gateway: str, report: GatewayReport | None) -> None:
        """A report came; None: the stream broke."""

    def directives(self) -> Directives:
        """The complete set as it is now."""


class ReportClient:
    """material: reads the operator's client certificate. Once it is renewed, each gateway is dialled again."""

    def __init__(
        self, directory: GatewayDirectory, material: Callable[[], Awaitable[TlsMaterial]], sink: ReportSink
    ) -> None:
        self._directory = directory
        self._material = material
        self._sink = sink
        self._links: dict[str, _Link] = {}

    def publish(self, directive: Directive) -> None:
        """Send the directive to every gateway."""
        for link in self._links.values():
            link.send(directive)

    def publish_document(self, secret: str, sequence: int) -> None:
        """Tell every gateway the newest sequence of a document."""
        for link in self._links.values():
            link.send_document(secret, sequence)

    async def run(self) -> None:
        """Follow the directory until cancelled."""
        async with asyncio.TaskGroup() as group:
            async for members in self._directory.members():
                self._follow(members, group)

    def _follow(self, members: Members, group: asyncio.TaskGroup) -> None:
        self._sink.members(frozenset(members))
        for gateway in set(self._links) - set(members):
            self._links.pop(gateway).stop()
        for gateway, address in members.items():
            self._dial(gateway, address, group)

    def _dial(self, gateway: str, address: Address | None, group: asyncio.TaskGroup) -> None:
        known = self._links.get(gateway)
        if known and known.address == address:
            return
        if known:
            self._links.pop(gateway).stop()
        if address:
            self._links[gateway] = _Link(gateway, address, self._material, self._sink, group)


class _Link:
    """One gateway at one address: dial, talk, and dial again."""

    def __init__(
        self,
        gateway: str,
        address: Address,
        material: Callable[[], Awaitable[TlsMaterial]],
        sink: ReportSink,
        group: asyncio.TaskGroup,
    ) -> None:
        self.address = address
        self._gateway = gateway
        self._material = material
        self._sink = sink
        self._outbox: dict[NamespacedName, Directive] = {}
        self._documents: dict[str, int] = {}
        self._bell = asyncio.Event()
        # The newest document format that the gateway reads; a new one for each stream.
        self._reads: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._retry = FIRST_RETRY
        self._task = group.create_task(self._run())

    def send(self, directive: Directive) -> None:
        """Send it soon. A newer directive of the same endpoint replaces it."""
        self._outbox[directive.endpoint] = directive
        self._bell.set()

    def send_document(self, secret: str, sequence: int) -> None:
        """Tell the newest sequence of a document soon."""
        self._documents[secret] = sequence
        self._bell.set()

    def stop(self) -> None:
        """Close the stream for good."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                if await self._talked_until_renewal():
                    continue
                self._sink.reported(self._gateway, None)
                _end_if_cancelled()
                await asyncio.sleep(self._retry)
                self._retry = min(self._retry * 2, LONGEST_RETRY)
        finally:
            self._sink.reported(self._gateway, None)

    async def _talked_until_renewal(self) -> bool:
        """Keep one stream until the certificate is renewed. False if the stream broke or could not be opened."""
        try:
            await self._talk(await self._material())
        except (grpc.RpcError, ReportError, StoreError, PkiError, TimeoutError, OSError) as error:
            _log.warning("no report stream", extra={"gateway": self._gateway, "error": _cause(error)})
            return False
        except Exception:  # noqa: BLE001 - a defect that shows with one gateway must not end the leader
            _log.exception("no report stream because of a defect", extra={"gateway": self._gateway})
            return False
        return True

    async def _talk(self, material: TlsMaterial) -> None:
        """Read and write until the certificate is renewed."""
        self._reads = asyncio.get_running_loop().create_future()
        async with self._stream(material) as call:
            renewed = asyncio.create_task(self._until_renewed(material))
            writer = asyncio.create_task(self._write(call))
            try:
                await self._read(call, renewed)
            finally:
                renewed.cancel()
                writer.cancel()
                await asyncio.wait({writer, renewed})

    async def _until_renewed(self, material: TlsMaterial) -> None:
        current = material
        while current == material:
            await asyncio.sleep(RENEWAL_LOOK)
            with contextlib.suppress(StoreError, PkiError):
                current = await self._material()

    @contextlib.asynccontextmanager
    async def _stream(self, material: TlsMaterial) -> AsyncIterator[Any]:
        host, port = self.address
        channel = grpc.aio.secure_channel(f"{host}:{port}", _credentials(material), options=_OPTIONS)
        try:
            yield channel.stream_stream(METHOD_PATH)(metadata=((READS_METADATA, str(FORMAT)),))
        finally:
            await channel.close()

    async def _read(self, call: Any, renewed: "asyncio.Task[None]") -> None:
        while (frame := await _frame(call)) is not grpc.aio.EOF:
            report = decode_report(frame)
            if not self._reads.done():
                self._reads.set_result(report.reads)
            self._sink.reported(self._gateway, report)
            self._retry = FIRST_RETRY
            if renewed.done():
                return
        raise ConnectionResetError(f"{(await call.code()).name}: {await call.details()}")

    async def _write(self, call: Any) -> None:
        # If the stream breaks, reading fails as well and says why.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            # The gateway speaks first, so the directives can be what it reads.
            reads = await self._reads
            while True:
                self._outbox.clear()
                self._documents.clear()
                await call.write(encode_directives(self._sink.directives(), reads))
                repeat_at = asyncio.get_running_loop().time() + REPEAT
                while await self._has_changes(repeat_at):
                    await self._write_changes(call)

    async def _has_changes(self, until: float) -> bool:
        """Wait for a directive to send. False if none came before that time of the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True

    async def _write_changes(self, call: Any) -> None:
        changes = Directives(complete=False, directives=tuple(self._outbox.values()), documents=dict(self._documents))
        self._outbox.clear()
        self._documents.clear()
        if changes.directives or changes.documents:
            await call.write(encode_directives(changes, self._reads.result()))


async def operator_material(store: Store, namespace: str) -> TlsMaterial:
    """The client certificate with which the operator dials the gateways, as stored now. Raises StoreError, PkiError."""
    found = await store.get(SECRET, namespace, names.OPERATOR_TLS_SECRET)
    return TlsMaterial.of_secret(view_secret(found).data)


def _end_if_cancelled() -> None:
    """grpc.aio loses a cancellation that meets the failed set-up of a call, and raises the call's error instead."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


async def _frame(call: Any) -> Any:
    # Not wait_for, which in Python 3.11 loses a cancellation that arrives together with the result.
    async with asyncio.timeout(SILENCE):
        return await call.read()


def _credentials(material: TlsMaterial) -> Any:
    return grpc.ssl_channel_credentials(material.ca, material.private_key, material.certificate)


def _cause(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"silent for {SILENCE:g} s" if isinstance(error, TimeoutError) else str(error)
