"""Which proofs suffice at an endpoint, and which of them a client can give."""

from nightlatch.api.client import ClientSpec
from nightlatch.api.endpoint import Access

API_KEY = "apiKey"
JWT = "jwt"
MTLS = "mtls"
_OF_CLIENTS = frozenset({API_KEY, MTLS})


def accepted(access: Access) -> tuple[tuple[str, ...], ...]:
    """Lists of mechanisms: a call is let in when all of one list succeed. The first one says who the caller is."""
    if access.accept is not None:
        return access.accept
    enabled = {API_KEY: access.api_key, JWT: access.jwt, "oauth2": access.oauth2, MTLS: access.mtls}
    return tuple((name,) for name, value in enabled.items() if value is not None)


def credentials_for(access: Access, spec: ClientSpec) -> frozenset[str]:
    """The mechanisms with which the client can prove there who it is.

    A certificate counts where its CA is trusted: our own CA where the endpoint names no other, and the CA of an
    `issuerRef` where it names some.
    """
    found = set()
    if spec.api_key is not None and access.api_key is not None:
        found.add(API_KEY)
    if spec.certificate is not None and access.mtls is not None:
        foreign = spec.certificate.issuer_ref is not None
        if foreign == bool(access.mtls.trust):
            found.add(MTLS)
    return frozenset(found)


def suffices(access: Access, credentials: frozenset[str]) -> bool:
    """Whether a client with these can satisfy a list, as far as clients can: tokens are others' to give."""
    wanted = (_OF_CLIENTS.intersection(group) for group in accepted(access))
    return any(group and group <= credentials for group in wanted)
