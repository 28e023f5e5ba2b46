"""Every gateway pod counts from the moment that it has an address until it is gone."""

from nightlatch.controller.cluster.gateway_slices import members_of


def piece(*endpoints: dict, port: int | None = 9443) -> dict:
    return {"ports": [{"name": "report", "port": port}] if port else [], "endpoints": list(endpoints)}


def endpoint(pod: str, ip: str, **conditions: bool) -> dict:
    return {"addresses": [ip], "conditions": conditions, "targetRef": {"kind": "Pod", "name": pod}}


def test_unready_and_terminating_gateways_are_members_too():
    slices = [
        piece(endpoint("gateway-a", "10.0.0.1", ready=True), endpoint("gateway-b", "10.0.0.2", ready=False)),
        piece(endpoint("gateway-c", "10.0.0.3", ready=False, serving=True, terminating=True)),
    ]
    assert members_of(slices) == {
        "gateway-a": ("10.0.0.1", 9443),
        "gateway-b": ("10.0.0.2", 9443),
        "gateway-c": ("10.0.0.3", 9443),
    }


def test_a_slice_without_endpoints_has_no_members():
    assert members_of([{"ports": None, "endpoints": None}]) == {}


def test_an_address_without_a_pod_is_not_a_gateway():
    assert members_of([piece({"addresses": ["10.0.0.9"], "conditions": {}})]) == {}
