"""A renewed operator certificate is soon in use on every report stream, and no gateway counts as gone meanwhile."""

import asyncio

import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.controller.autoscaling import report_client
from nightlatch.controller.autoscaling.report_client import ReportClient
from nightlatch.embedded.gateway_directory import FileGatewayDirectory
from nightlatch.gatekeeper import report_stream
from nightlatch.wire.report import Directives
from tests.unit.controller.stand_in_gateway import TRUST_DOMAIN, Pki, StandInGateway


class Sink:
    """Keeps what it heard."""

    def __init__(self):
        self.reports = []

    def members(self, gateways): ...

    def reported(self, _gateway, report):
        self.reports.append(report)

    def directives(self):
        return Directives(complete=True, directives=())


@pytest.fixture
def certificates(monkeypatch):
    """The operator certificates that the gateway saw, one a stream."""
    seen = []
    identity = report_stream.peer_identity

    def look(context):
        certificate = context.auth_context()["x509_pem_cert"][0]
        if certificate not in seen:
            seen.append(certificate)
        return identity(context)

    monkeypatch.setattr(report_stream, "peer_identity", look)
    monkeypatch.setattr(report_client, "RENEWAL_LOOK", 0.05)
    return seen


async def test_a_renewed_certificate_is_dialled_with_and_the_gateway_never_counts_as_gone(tmp_path, certificates):
    pki, sink = Pki(), Sink()
    operator = pki.operator

    async def material():
        return operator

    gateway = StandInGateway("g", NamespacedName("search", "minilm"), pki, tmp_path / "announce.json")
    await gateway.start()
    running = asyncio.create_task(
        ReportClient(FileGatewayDirectory({"g": tmp_path / "announce.json"}), material, sink).run()
    )
    try:
        await until(lambda: sink.reports)
        operator = pki.issue(names.operator_identity(TRUST_DOMAIN), "client")
        await until(lambda: len(certificates) == 2)
        count = len(sink.reports)
        await until(lambda: len(sink.reports) > count + 1)
        assert None not in sink.reports
        assert len(certificates) == 2, "one that is not renewed is not dialled with again"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await gateway.stop()
    assert sink.reports[-1] is None, "who is hung up on is gone"


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)
