"""The leader's end of the report streams: it dials every gateway over mTLS and keeps one stream to each.

Both directions are level-based, so a broken stream is mended by the next one: the gateway says all it knows at once,
and so do we. A gateway that is silent for SILENCE seconds is as good as gone.
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

METHOD = "/nightlatch.v1.Reports/Stream"
# Reports come once a second.
SILENCE = 5.0
# Everything is said again so often, should a gateway have missed something.
REPEAT = 10.0
FIRST_RETRY, LONGEST_RETRY = 0.1, 2.0
# A stream outlives the certificate that it was opened with, unless somebody looks.
RENEWAL_LOOK = 60.0

_log = logging.getLogger(__name__)
_OPTIONS = (
    ("grpc.ssl_target_name_override", names.GATEWAY_REPORT_NAME),
    # Channels of one address would share their connection, and with it the certificate and gRPC's own back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


class ReportSink(Protocol):
    """Who listens. Called on the event loop; must not block."""

    def members(self, gateways: frozenset[str]) -> None:
        """These are all the gateways there are."""

    def reported(self, gateway: str, report: GatewayReport | None) -> None:
        """A report came; None: the stream broke."""

    def directives(self) -> Directives:
        """The complete set as it is now."""


class ReportClient:
    """See the module. `material` gives the operator's certificate; when it is renewed, each gateway is dialled anew."""

    def __init__(
        self, directory: GatewayDirectory, material: Callable[[], Awaitable[TlsMaterial]], sink: ReportSink
    ) -> None:
        self._directory = directory
        self._material = material
        self._sink = sink
        self._links: dict[str, _Link] = {}

    def publish(self, directive: Directive) -> None:
        """Tell every gateway."""
        for link in self._links.values():
            link.send(directive)

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
        self._bell = asyncio.Event()
        self._retry = FIRST_RETRY
        self._task = group.create_task(self._run())

    def send(self, directive: Directive) -> None:
        """Soon; a newer one of the same endpoint takes its place."""
        self._outbox[directive.endpoint] = directive
        self._bell.set()

    def stop(self) -> None:
        """Hang up for good."""
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
        """One stream; False when it broke, or when none came about."""
        try:
            await self._talk(await self._material())
        except (grpc.RpcError, ReportError, StoreError, PkiError, TimeoutError, OSError) as error:
            _log.warning("no report stream to gateway %s: %s", self._gateway, _cause(error))
            return False
        except Exception:  # noqa: BLE001 - a mistake about one gateway must not end the leader
            _log.exception("the report stream to gateway %s failed", self._gateway)
            return False
        return True

    async def _talk(self, material: TlsMaterial) -> None:
        """Until the certificate is renewed."""
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
            yield channel.stream_stream(METHOD)()
        finally:
            await channel.close()

    async def _read(self, call: Any, renewed: "asyncio.Task[None]") -> None:
        while (frame := await _frame(call)) is not grpc.aio.EOF:
            self._sink.reported(self._gateway, decode_report(frame))
            self._retry = FIRST_RETRY
            if renewed.done():
                return
        raise ConnectionResetError(f"{(await call.code()).name}: {await call.details()}")

    async def _write(self, call: Any) -> None:
        # When the stream breaks, reading fails as well and says why.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                self._outbox.clear()
                await call.write(encode_directives(self._sink.directives()))
                repeat_at = asyncio.get_running_loop().time() + REPEAT
                while await self._rung(repeat_at):
                    await self._write_changes(call)

    async def _rung(self, until: float) -> bool:
        """Whether something was sent before that time of the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True

    async def _write_changes(self, call: Any) -> None:
        changes = tuple(self._outbox.values())
        self._outbox.clear()
        if changes:
            await call.write(encode_directives(Directives(complete=False, directives=changes)))


async def operator_material(store: Store, namespace: str) -> TlsMaterial:
    """The client certificate with which the operator dials the gateways, as stored now. Raises StoreError, PkiError."""
    found = await store.get(SECRET, namespace, names.OPERATOR_TLS_SECRET)
    return TlsMaterial.of_secret(view_secret(found).data)


def _end_if_cancelled() -> None:
    """grpc.aio loses a cancellation that meets the end of a call being set up: the call's error comes in its place."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


async def _frame(call: Any) -> Any:
    # Not wait_for: in Python 3.11 it loses a cancellation that meets the result.
    async with asyncio.timeout(SILENCE):
        return await call.read()


def _credentials(material: TlsMaterial) -> Any:
    return grpc.ssl_channel_credentials(material.ca, material.private_key, material.certificate)


def _cause(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"silent for {SILENCE:g} s" if isinstance(error, TimeoutError) else str(error)
