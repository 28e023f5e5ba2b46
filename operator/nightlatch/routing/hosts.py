"""Who owns a host name that two endpoints claim: the older endpoint. Planning and routing both decide by this rule.

Age is the creation time in whole seconds. Endpoints created in the same second are ordered by namespace and name,
because that is what every route document carries, a damaged one included.
"""

from collections.abc import Iterable
from typing import Protocol

from nightlatch.api.meta import NamespacedName


class Claimant(Protocol):
    """An endpoint that claims `hosts`. `created`: when it was created, in Unix seconds."""

    @property
    def endpoint(self) -> NamespacedName: ...
    @property
    def created(self) -> int: ...
    @property
    def hosts(self) -> tuple[str, ...]: ...


def lost_hosts(claimants: Iterable[Claimant]) -> dict[NamespacedName, dict[str, NamespacedName]]:
    """For every endpoint that does not own all hosts it claims: each host it lost, and the endpoint that owns it."""
    owners: dict[str, NamespacedName] = {}
    lost: dict[NamespacedName, dict[str, NamespacedName]] = {}
    for claimant in sorted(claimants, key=lambda each: (each.created, each.endpoint)):
        for host in claimant.hosts:
            owner = owners.setdefault(host, claimant.endpoint)
            if owner != claimant.endpoint:
                lost.setdefault(claimant.endpoint, {})[host] = owner
    return lost
