"""Parsing gives a typed object, or every reason why not, each with the field and what to write."""

from typing import Any

import pytest
from pydantic import ValidationError

from nightlatch.api.meta import API_VERSION, NamespacedName, RawObject
from nightlatch.api.validation.parse import ParseError, parse_client, parse_endpoint, parse_issuer


def raw(kind: str, spec: Any, **rest: Any) -> RawObject:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": "minilm", "namespace": "search", "managedFields": [{}]},
        "spec": spec,
        **rest,
    }


def endpoint(**spec: Any) -> RawObject:
    return raw("InferenceEndpoint", {"model": {"source": {"path": "/m"}}, "access": {"apiKey": {}}, **spec})


def client(**spec: Any) -> RawObject:
    return raw("InferenceClient", {"apiKey": {}, **spec})


def issuer(**spec: Any) -> RawObject:
    return raw(
        "TokenIssuer",
        {"issuer": "https://id.example", "audiences": ["minilm"], "keys": {"discovery": True}, **spec},
    )


def causes(parse: Any, obj: RawObject) -> dict[str, str]:
    with pytest.raises(ParseError) as caught:
        parse(obj)
    return dict(caught.value.causes)


def test_the_least_endpoint_has_every_default() -> None:
    parsed = parse_endpoint(endpoint())
    assert parsed.key == NamespacedName("search", "minilm")
    assert parsed.model_name == "minilm"
    assert (parsed.spec.request_timeout, parsed.spec.scaling.hold.max_requests) == ("60s", 256)


def test_a_parsed_object_cannot_change() -> None:
    parsed = parse_endpoint(endpoint())
    with pytest.raises(ValidationError, match="frozen"):
        parsed.spec.scaling.max_replicas = 2  # type: ignore[misc]


def test_the_model_s_own_name_goes_first() -> None:
    assert parse_endpoint(endpoint(model={"name": "other", "source": {"path": "/m"}})).model_name == "other"


def test_a_null_is_a_field_left_out() -> None:
    parsed = parse_endpoint(endpoint(requestTimeout=None, rateLimit=None))
    assert (parsed.spec.request_timeout, parsed.spec.rate_limit) == ("60s", None)


def test_a_whole_number_is_a_quantity() -> None:
    parsed = parse_endpoint(endpoint(runtime={"resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "500m"}}}))
    assert parsed.spec.runtime.resources is not None
    assert parsed.spec.runtime.resources.limits == {"nvidia.com/gpu": "1", "cpu": "500m"}


@pytest.mark.parametrize("status", [{"state": "Dozing"}, {"unheardOf": 1}, "text", None])
def test_a_foreign_status_stops_nothing(status: Any) -> None:
    assert parse_endpoint({**endpoint(), "status": status}).status.state is None


def test_a_status_is_read_back() -> None:
    condition = {"type": "Ready", "status": "True", "reason": "Asleep", "message": "", "lastTransitionTime": "t1"}
    parsed = parse_endpoint({**endpoint(), "status": {"state": "Asleep", "conditions": [condition]}})
    assert parsed.status.state == "Asleep"
    assert parsed.status.conditions[0].reason == "Asleep"


@pytest.mark.parametrize(
    ("spec", "path", "says"),
    [
        ({"scalling": {}}, "spec.scalling", "is unknown (did you mean scaling?)"),
        ({"scaling": {"hold": {"timout": "1s"}}}, "spec.scaling.hold.timout", "(did you mean timeout?)"),
        ({"access": {"accept": [["apikey"]]}}, "spec.access.accept[0][0]", "write one of 'apiKey'"),
        ({"model": {}}, "spec.model.source", "is required"),
        ({"requestTimeout": "soon"}, "spec.requestTimeout", "is not a duration: write a number and a unit"),
    ],
)
def test_an_endpoint_that_cannot_be_says_why(spec: dict[str, Any], path: str, says: str) -> None:
    assert says in causes(parse_endpoint, endpoint(**spec))[path]


@pytest.mark.parametrize(
    ("spec", "path", "says"),
    [
        ({"apiKey": {"rotateEvery": "30d"}}, "spec.apiKey.rotateEvery", "write days in hours, 30d as 720h"),
        ({"suspended": True}, "spec.suspended", "(did you mean suspend?)"),
        ({"endpoints": [{"name": "a", "permissions": ["admin"]}]}, "spec.endpoints[0].permissions[0]", "write one of"),
    ],
)
def test_a_client_that_cannot_be_says_why(spec: dict[str, Any], path: str, says: str) -> None:
    assert says in causes(parse_client, client(**spec))[path]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"refresh": "1"}, "spec.refresh"),
        ({"denied": {"issuedBefore": [{"sub": "a"}]}}, "spec.denied.issuedBefore[0].time"),
        ({"algorithms": ["HS256"]}, "spec.algorithms[0]"),
    ],
)
def test_an_issuer_that_cannot_be_says_why(spec: dict[str, Any], path: str) -> None:
    assert path in causes(parse_issuer, issuer(**spec))


def test_an_issuer_parses() -> None:
    assert parse_issuer(issuer()).spec.algorithms == ("RS256", "PS256", "ES256", "EdDSA")


@pytest.mark.parametrize(
    ("api_key", "hours"),
    [
        ({}, 24),
        ({"rotateEvery": "720h"}, 24),
        ({"rotateEvery": "12h"}, 6),
        ({"rotateEvery": "12h", "overlap": "11h"}, 11),
    ],
)
def test_an_overlap_that_is_left_out_fits_the_rotation(api_key: dict[str, Any], hours: int) -> None:
    parsed = parse_client(client(apiKey=api_key)).spec.api_key
    assert parsed is not None
    assert parsed.overlap_seconds == hours * 3600


def test_all_causes_come_at_once() -> None:
    found = causes(parse_endpoint, endpoint(access={"apikey": {}}, requestTimeout=5))
    assert set(found) == {"spec.access.apikey", "spec.requestTimeout"}


def test_a_value_is_never_repeated_for_a_wrong_type() -> None:
    obj = endpoint(runtime={"env": [{"name": "TOKEN", "value": ["hunter2"]}]})
    with pytest.raises(ParseError) as caught:
        parse_endpoint(obj)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kind": "Pod"}, "kind"),
        ({"apiVersion": "nightlatch.dev/v2"}, "apiVersion"),
        ({"metadata": {}}, "metadata.name"),
    ],
)
def test_an_object_of_another_kind_is_refused(change: dict[str, Any], path: str) -> None:
    assert path in causes(parse_endpoint, endpoint() | change)


def test_an_object_without_a_spec_is_refused() -> None:
    obj = endpoint()
    del obj["spec"]
    assert causes(parse_endpoint, obj) == {"spec": "is required"}
