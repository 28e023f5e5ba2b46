"""The gateways that should be there, and what each said last. Pure data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.decide import Load
from nightlatch.wire.report import EndpointReport, GatewayReport


@dataclass(frozen=True, slots=True)
class LastReport:
    """One gateway's newest report, indexed by endpoint."""

    serving: bool
    endpoints: Mapping[NamespacedName, EndpointReport]

    @classmethod
    def of(cls, report: GatewayReport) -> "LastReport":
        """Index a report."""
        return cls(report.serving, {entry.endpoint: entry for entry in report.endpoints})


@dataclass(frozen=True, slots=True)
class GatewayView:
    """One gateway, seen from one endpoint.

    connected: its report stream is up and fresh. report: its newest report on the endpoint; None if there is none.
    """

    gateway: str
    connected: bool
    report: EndpointReport | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Members of the directory by id; None for one that is not reporting."""

    members: Mapping[str, LastReport | None] = field(default_factory=dict)

    def with_members(self, gateways: Iterable[str]) -> "Fleet":
        """The same with exactly these gateways; one that left is forgotten and blocks nothing any more."""
        return Fleet({gateway: self.members.get(gateway) for gateway in gateways})

    def with_report(self, gateway: str, last_report: LastReport | None) -> "Fleet":
        """The same after a report (None: the stream broke) of a member; of any other gateway, unchanged."""
        if gateway not in self.members:
            return self
        return Fleet({**self.members, gateway: last_report})

    @property
    def disconnected(self) -> tuple[str, ...]:
        """Members that do not report, sorted."""
        return tuple(sorted(gateway for gateway, last_report in self.members.items() if last_report is None))

    def views(self, endpoint: NamespacedName) -> tuple[GatewayView, ...]:
        """Every member that counts in a drain: those serving, and those of which nothing is known."""
        return tuple(
            GatewayView(gateway, last_report is not None, last_report.endpoints.get(endpoint) if last_report else None)
            for gateway, last_report in sorted(self.members.items())
            if last_report is None or last_report.serving
        )


def load_of(views: tuple[GatewayView, ...]) -> Load:
    """Sum over the gateways. Unknown as long as there is none, or one is silent or does not know."""
    reports = [view.report for view in views if view.report is not None]
    known = [report.in_flight for report in reports if report.in_flight is not None]
    complete = bool(views) and len(known) == len(views)
    return Load(
        in_flight=sum(known) if complete else None,
        held=sum(report.held for report in reports),
        issued=sum(report.issued for report in reports),
    )


def changed_endpoints(before: LastReport | None, after: LastReport | None) -> set[NamespacedName]:
    """Endpoints of which one gateway now says something else; all of them when it began or ceased to serve."""
    old, new = (last_report.endpoints if last_report else {} for last_report in (before, after))
    everything = set(old) | set(new)
    if (before and before.serving) != (after and after.serving):
        return everything
    return {key for key in everything if old.get(key) != new.get(key)}
