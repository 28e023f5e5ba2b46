"""Where is a client's key not accepted yet? Pure."""

from collections.abc import Mapping

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.api_keys import unrevoked
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.inputs import ClientView
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime

Endpoints = tuple[NamespacedName, ...]


def missing_and_behind(
    client: ClientView,
    endpoints: Mapping[NamespacedName, ParsedEndpoint],
    sequences: Mapping[NamespacedName, int],
    runtimes: Mapping[NamespacedName, EndpointRuntime],
) -> tuple[Endpoints, Endpoints]:
    """Granted endpoints whose route document lacks the key, and those whose document not every gateway has applied.

    sequences: of the route documents that contain the key. Both results are empty while the client has no live key.
    """
    if not unrevoked(client):
        return (), ()
    granted = [
        key
        for key in requested_grants(client.client)
        if refusal(GrantRequest(client.client, key, endpoints.get(key))) is None
    ]
    missing = tuple(key for key in granted if key not in sequences)
    behind = tuple(
        key
        for key in granted
        if key in sequences and not runtimes.get(key, UNKNOWN_RUNTIME).has_applied(sequences[key])
    )
    return missing, behind
