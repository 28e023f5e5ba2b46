"""The gateways that should be there, and what each said last. Pure data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nightlatch.api.meta import Key
from nightlatch.scaling.decide import Load
from nightlatch.scaling.report import EndpointReport, GatewayReport


@dataclass(frozen=True, slots=True)
class Heard:
    """One gateway's newest report, indexed by endpoint."""

    serving: bool
    endpoints: Mapping[Key, EndpointReport]

    @classmethod
    def of(cls, report: GatewayReport) -> "Heard":
        """Index a report."""
        return cls(report.serving, {entry.endpoint: entry for entry in report.endpoints})


@dataclass(frozen=True, slots=True)
class GatewayView:
    """One gateway, seen from one endpoint.

    connected: its report stream is up and fresh. said: its newest word on the endpoint, if it knows the endpoint.
    """

    gateway: str
    connected: bool
    said: EndpointReport | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Members of the directory by id; None for one that is not reporting."""

    members: Mapping[str, Heard | None] = field(default_factory=dict)

    def with_members(self, gateways: Iterable[str]) -> "Fleet":
        """The same with exactly these gateways; one that left is forgotten and blocks nothing any more."""
        return Fleet({gateway: self.members.get(gateway) for gateway in gateways})

    def with_heard(self, gateway: str, heard: Heard | None) -> "Fleet":
        """The same after a report (None: the stream broke) of a member; of any other gateway, unchanged."""
        if gateway not in self.members:
            return self
        return Fleet({**self.members, gateway: heard})

    @property
    def disconnected(self) -> tuple[str, ...]:
        """Members that do not report, sorted."""
        return tuple(sorted(gateway for gateway, heard in self.members.items() if heard is None))

    def views(self, endpoint: Key) -> tuple[GatewayView, ...]:
        """Every member that counts in a drain: those serving, and those of which nothing is known."""
        return tuple(
            GatewayView(gateway, heard is not None, heard.endpoints.get(endpoint) if heard else None)
            for gateway, heard in sorted(self.members.items())
            if heard is None or heard.serving
        )


def load_of(views: tuple[GatewayView, ...]) -> Load:
    """Sum over the gateways. Unknown as long as there is none, or one is silent or does not know."""
    said = [view.said for view in views if view.said is not None]
    known = [report.in_flight for report in said if report.in_flight is not None]
    complete = bool(views) and len(known) == len(views)
    return Load(
        in_flight=sum(known) if complete else None,
        held=sum(report.held for report in said),
        issued=sum(report.issued for report in said),
    )


def changed_endpoints(before: Heard | None, after: Heard | None) -> set[Key]:
    """Endpoints of which one gateway now says something else; all of them when it began or ceased to serve."""
    old, new = (heard.endpoints if heard else {} for heard in (before, after))
    everything = set(old) | set(new)
    if (before and before.serving) != (after and after.serving):
        return everything
    return {key for key in everything if old.get(key) != new.get(key)}
