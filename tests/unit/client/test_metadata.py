"""Whose endpoints are believed, and where secrets may be sent."""

import pytest

from nightlatch_client import metadata
from nightlatch_client.errors import InsecureUrlError, ProviderMismatchError
from tests.unit.client.stand_in_provider import ISSUER, described


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        (
            "https://id.example/realms/ml",
            "https://id.example/realms/ml/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server/realms/ml",
        ),
        (
            "https://t.auth0.example/",
            "https://t.auth0.example/.well-known/openid-configuration",
            "https://t.auth0.example/.well-known/oauth-authorization-server",
        ),
        (
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080/.well-known/openid-configuration",
            "http://127.0.0.1:8080/.well-known/oauth-authorization-server",
        ),
    ],
)
def test_where_the_document_is(issuer: str, openid: str, oauth: str) -> None:
    assert metadata.addresses(issuer) == (openid, oauth)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://2130706433",
        "ftp://localhost",
        "id.example",
        "",
        "https://",
        "http://10.0.0.1",
    ],
)
def test_nothing_is_sent_to_another_machine_without_tls(url: str) -> None:
    with pytest.raises(InsecureUrlError, match="use https"):
        metadata.require_tls(url)


@pytest.mark.parametrize("url", ["https://id.example", "http://localhost:1", "http://[::1]:1", "http://a.localhost"])
def test_tls_or_this_machine_is_fine(url: str) -> None:
    metadata.require_tls(url)


@pytest.mark.parametrize("said", [ISSUER + "/", ISSUER.upper(), "https://evil.example", None, 5])
def test_a_document_of_another_issuer_is_refused(said) -> None:
    with pytest.raises(ProviderMismatchError, match="write it exactly so"):
        metadata.read({**described(), "issuer": said}, ISSUER)


@pytest.mark.parametrize("name", ["token_endpoint", "revocation_endpoint", "device_authorization_endpoint"])
def test_an_endpoint_without_tls_is_refused(name: str) -> None:
    for document in ({name: "http://id.example/x"}, {"mtls_endpoint_aliases": {name: "http://id.example/x"}}):
        with pytest.raises(ProviderMismatchError, match=f"its {name} is not safe"):
            metadata.read({**described(), **document}, ISSUER)


@pytest.mark.parametrize("document", [[], "text", None, {"issuer": ISSUER}])
def test_what_is_not_such_a_document_is_refused(document) -> None:
    with pytest.raises(ProviderMismatchError):
        metadata.read(document, ISSUER)


def test_who_shows_a_certificate_goes_where_certificates_are_asked_for() -> None:
    document = described(mtls_endpoint_aliases={"token_endpoint": "https://mtls.example/token"})
    found = metadata.read(document, ISSUER)
    assert found.endpoint("token_endpoint", shows_certificate=True) == "https://mtls.example/token"
    assert found.endpoint("token_endpoint", shows_certificate=False) == f"{ISSUER}/token_endpoint"
    assert found.endpoint("revocation_endpoint", shows_certificate=True) == f"{ISSUER}/revocation_endpoint"
    assert found.endpoint("introspection_endpoint", shows_certificate=True) is None
