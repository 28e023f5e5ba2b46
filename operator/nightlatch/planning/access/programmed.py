"""What gateways are known to have taken over of a client's keys: those they accept, and those they refuse. Pure."""

from collections.abc import Container, Iterable, Mapping

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.inputs import DocumentView, KeyCoverage, LiveKey
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime

# Stands for the gateways where none has reported yet: one may run all the same.
ANY_GATEWAY = "(no gateway has reported)"


def key_coverage(
    client: ParsedClient,
    key: LiveKey,
    endpoints: Mapping[NamespacedName, ParsedEndpoint],
    documents: Mapping[NamespacedName, DocumentView],
    runtimes: Mapping[NamespacedName, EndpointRuntime],
) -> KeyCoverage:
    """Where the key is accepted.

    An endpoint without any document lets nobody in, whatever the key, so a rotation does not wait for it.
    """
    granted = [
        each for each in requested_grants(client) if refusal(GrantRequest(client, each, endpoints.get(each))) is None
    ]
    holding = [each for each in granted if each in documents and documents[each].holds(client.key, {key.key_id})]
    missing = tuple(each for each in granted if each not in holding)
    runtime = {each: runtimes.get(each, UNKNOWN_RUNTIME) for each in holding}
    behind = tuple(each for each in holding if not runtime[each].has_applied(documents[each].sequence))
    unconfirmed = _unconfirmed((runtime[each], documents[each].sequence) for each in holding)
    in_force = not unconfirmed and not any(each in documents for each in missing)
    return KeyCoverage(missing, behind, in_force, unconfirmed)


def may_still_accept(
    client: NamespacedName,
    key_ids: Container[str] | None,
    documents: Iterable[DocumentView],
    runtimes: Mapping[NamespacedName, EndpointRuntime],
) -> tuple[str, ...]:
    """The gateways that may still accept one of these keys of the client (None: any).

    A document that still holds such a key is about to be replaced, so that no gateway has confirmed it.
    """
    return _unconfirmed(
        (
            runtimes.get(document.endpoint, UNKNOWN_RUNTIME),
            document.sequence + document.holds(client, key_ids),
        )
        for document in documents
    )


def _unconfirmed(wanted: Iterable[tuple[EndpointRuntime, int]]) -> tuple[str, ...]:
    found: set[str] = set()
    for runtime, sequence in wanted:
        found.update(runtime.unconfirmed(sequence) if runtime.members else {ANY_GATEWAY})
    return tuple(sorted(found))
