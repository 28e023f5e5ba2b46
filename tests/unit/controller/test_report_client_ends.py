"""The report client ends when it is told to."""

import asyncio
import json

from nightlatch.controller.autoscaling.gateways import FileGatewayDirectory
from nightlatch.controller.autoscaling.report_client import ReportClient
from nightlatch.pki.material import TlsMaterial
from nightlatch.wire.report import Directives, GatewayReport


class Sink:
    """Nobody listens."""

    def members(self, gateways: frozenset[str]) -> None: ...

    def reported(self, gateway: str, report: GatewayReport | None) -> None: ...

    def directives(self) -> Directives:
        return Directives(complete=True, directives=())


async def test_an_error_that_takes_the_place_of_the_cancellation_does_not_keep_it_alive(tmp_path) -> None:
    dialling = asyncio.Event()

    async def material() -> TlsMaterial:
        # What grpc.aio does when a cancellation meets the end of a call that is being set up.
        dialling.set()
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            raise OSError("the call ended") from None

    announce = tmp_path / "announce.json"
    announce.write_text(json.dumps({"report": {"host": "127.0.0.1", "port": 1}}))
    running = asyncio.create_task(ReportClient(FileGatewayDirectory({"g": announce}), material, Sink()).run())
    await dialling.wait()
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=20)
    assert done, "the cancellation was lost"
