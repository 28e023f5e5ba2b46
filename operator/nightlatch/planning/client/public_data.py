"""What a client's Secrets hold besides its credentials: the addresses of its endpoints, and the CA."""

import json
from collections.abc import Mapping

from nightlatch.planning.access.grants import named_endpoints
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.settings import url

# The address of the client's only endpoint. A client of several endpoints has none, so that none is called by mistake.
URL = "url"
# The address of each endpoint, as JSON: {"NAMESPACE/NAME": {"url": "https://..."}}.
ENDPOINTS = "endpoints.json"
CA_CRT = "ca.crt"
# The same beside a certificate of another issuer, whose own CA is in `ca.crt`.
SERVER_CA_CRT = "server-ca.crt"


def public_data(client: ParsedClient, observed: ObservedClient) -> Mapping[str, bytes | None]:
    """What belongs into a Secret beside the credential; None for what does not."""
    trust: dict[str, bytes | None] = {CA_CRT: server_trust(client, observed) or b""}
    return trust | addresses(client, observed)


def server_trust(client: ParsedClient, observed: ObservedClient) -> bytes | None:
    """The CAs by which the client knows its endpoints: ours, and those of endpoints with another issuer.

    None while there is none.
    """
    if observed.issuing_ca is None:
        return None
    named = (observed.server_cas[key] for key in named_endpoints(client) if key in observed.server_cas)
    return b"".join(dict.fromkeys((observed.issuing_ca.trust_pem, *named)))


def addresses(client: ParsedClient, observed: ObservedClient) -> dict[str, bytes | None]:
    """The addresses of all endpoints that the spec names, even those that do not let the client in yet.

    Empty if the spec is unreadable; None for an entry that must not be there.
    """
    if client.spec is None:
        return {}
    urls = {str(key): url(observed.settings, key) for key in named_endpoints(client)}
    listed = json.dumps({key: {"url": address} for key, address in urls.items()}, indent=2)
    only = next(iter(urls.values())).encode() if len(urls) == 1 else None
    return {URL: only, ENDPOINTS: f"{listed}\n".encode()}
