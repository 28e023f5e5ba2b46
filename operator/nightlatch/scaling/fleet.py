"""The gateways of the installation, and the newest report of each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.decide import Load
from nightlatch.wire.report import EndpointReport, GatewayReport
from nightlatch.wire.route_document import OLDEST_FORMAT


@dataclass(frozen=True, slots=True)
class LastReport:
    """All that one gateway says at present, indexed by endpoint. `reads`: the newest document format that it reads."""

    serving: bool
    endpoints: Mapping[NamespacedName, EndpointReport]
    reads: int = OLDEST_FORMAT

    @classmethod
    def of(cls, report: GatewayReport, before: "LastReport | None" = None) -> "LastReport":
        """After this report; `before`: what the gateway said until then on the same stream."""
        said = {} if report.complete or before is None else dict(before.endpoints)
        said.update((entry.endpoint, entry) for entry in report.endpoints)
        for endpoint in report.gone:
            said.pop(endpoint, None)
        return cls(report.serving, said, report.reads)


@dataclass(frozen=True, slots=True)
class GatewayView:
    """One gateway from the point of view of one endpoint.

    connected: its report stream is up. report: its newest report about the endpoint, None if there is none.
    """

    gateway: str
    connected: bool
    report: EndpointReport | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """The gateways of the directory by id; None for one that does not report."""

    members: Mapping[str, LastReport | None] = field(default_factory=dict)

    def with_members(self, gateways: Iterable[str]) -> "Fleet":
        """The fleet with exactly these gateways. One that left is forgotten and no longer blocks a drain."""
        return Fleet({gateway: self.members.get(gateway) for gateway in gateways})

    def with_report(self, gateway: str, last_report: LastReport | None) -> "Fleet":
        """The fleet after a report of one gateway (None: its stream broke). An unknown gateway changes nothing."""
        if gateway not in self.members:
            return self
        return Fleet({**self.members, gateway: last_report})

    @property
    def disconnected(self) -> tuple[str, ...]:
        """Gateways that do not report, sorted."""
        return tuple(sorted(gateway for gateway, last_report in self.members.items() if last_report is None))

    @property
    def formats(self) -> Mapping[str, int | None]:
        """The newest document format that each gateway reads; None for one that does not report."""
        return {gateway: last.reads if last else None for gateway, last in sorted(self.members.items())}

    @property
    def serving(self) -> int:
        """How many gateways serve. One of which nothing is known counts, because its Envoy may go on."""
        return sum(last is None or last.serving for last in self.members.values())

    def applied(self, endpoint: NamespacedName) -> Mapping[str, int | None]:
        """The document sequence that each gateway has applied; None for one that does not say, serving or not."""
        reports = {gateway: last.endpoints.get(endpoint) if last else None for gateway, last in self.members.items()}
        return {gateway: report.applied if report else None for gateway, report in sorted(reports.items())}

    def views(self, endpoint: NamespacedName) -> tuple[GatewayView, ...]:
        """Every gateway that counts in a drain: those that serve, and those of which nothing is known."""
        return tuple(
            GatewayView(gateway, last_report is not None, last_report.endpoints.get(endpoint) if last_report else None)
            for gateway, last_report in sorted(self.members.items())
            if last_report is None or last_report.serving
        )


def load_of(views: tuple[GatewayView, ...]) -> Load:
    """The sum over the gateways. In-flight load is unknown without gateways, or while one does not report it."""
    reports = [view.report for view in views if view.report is not None]
    known = [report.in_flight for report in reports if report.in_flight is not None]
    complete = bool(views) and len(known) == len(views)
    return Load(
        in_flight=sum(known) if complete else None,
        held=sum(report.held for report in reports),
        issued=sum(report.issued for report in reports),
    )


def changed_endpoints(before: LastReport | None, after: LastReport | None) -> set[NamespacedName]:
    """Endpoints about which a gateway's report changed; all of them if the gateway began or ceased to serve."""
    old, new = (last_report.endpoints if last_report else {} for last_report in (before, after))
    everything = set(old) | set(new)
    if (before and before.serving) != (after and after.serving):
        return everything
    # Deltas leave most entries the same objects, which need no comparison.
    return {key for key in everything if old.get(key) is not new.get(key) and old.get(key) != new.get(key)}
