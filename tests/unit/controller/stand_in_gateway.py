"""The leader's peer in tests: the gatekeeper's own report stream over real mTLS, with a scripted hold behind it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc.aio

from nightlatch.api import names
from nightlatch.gatekeeper.report_stream import ReportStream, credentials
from nightlatch.pki import LeafRequest, issue_leaf, new_issuing, new_root
from nightlatch.wire.report import EndpointReport, GatewayReport
from nightlatch.wire.route_document import FORMAT

TRUST_DOMAIN = "nightlatch.test"


class Pki:
    """One root, one issuing CA."""

    def __init__(self):
        self.now = datetime.now(UTC)
        self._issuing = new_issuing(new_root(now=self.now), now=self.now)
        self.operator = self.issue(names.operator_identity(TRUST_DOMAIN), "client")
        self.gateway = self.issue(names.gateway_identity(TRUST_DOMAIN), "server", names.GATEWAY_REPORT_NAME)

    def issue(self, identity, usage, *dns_names, duration=timedelta(hours=1)):
        request = LeafRequest(identity, usage, dns_names=dns_names, duration=duration)
        return issue_leaf(self._issuing, request, now=self.now)


class StandInGateway:
    """`says` is what it reports of its one endpoint; with `obedient`, directives are followed at once."""

    def __init__(self, name, endpoint, pki, announce):
        self.name = name
        self.serving = True
        self.obedient = True
        self.says = EndpointReport(endpoint, applied=1, phase="Cold", in_flight=0, issued=0, held=0)
        self.wakes = ()
        self.reads = FORMAT
        self.directives = []
        self.documents = []
        self._announce = announce
        self._pki = pki
        self._stream = ReportStream(names.operator_identity(TRUST_DOMAIN), self._report, self._directed)
        self._told = asyncio.Event()
        self._server = None

    async def start(self):
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self._stream.handler(),))
        port = self._server.add_secure_port("127.0.0.1:0", credentials(lambda: self._pki.gateway))
        await self._server.start()
        self._announce.parent.mkdir(parents=True, exist_ok=True)
        self._announce.write_text(json.dumps({"report": {"host": "127.0.0.1", "port": port}}))

    async def stop(self):
        if self._server:
            await self._server.stop(0)
            self._server = None

    def say(self, **changes):
        """Report something new, at once."""
        self.says = replace(self.says, **changes)
        self._stream.changed()

    @property
    def newest(self):
        return self.directives[-1] if self.directives else None

    async def until(self, holds, seconds=30):
        """The newest directive, once the condition holds of it."""
        async with asyncio.timeout(seconds):
            while not (self.newest and holds(self.newest)):
                self._told.clear()
                await self._told.wait()
        return self.newest

    def _report(self):
        return GatewayReport(self.name, self.serving, (self.says,), self.wakes, reads=self.reads)

    def _directed(self, directives):
        self.documents.append((directives.complete, dict(directives.documents)))
        for directive in directives.directives:
            self.directives.append(directive)
            if self.obedient:
                self._obey(directive)
        self._told.set()

    def _obey(self, directive):
        if directive.state == "Draining":
            self.say(phase="Holding", epoch=directive.epoch, in_flight=0, held=0)
        elif directive.state == "Asleep":
            self.say(phase="Cold", epoch=directive.epoch)
        elif self.says.phase == "Holding":
            self.say(phase="Warm", epoch=0)
