"""What a person reads when an object is refused by its structure."""

from typing import Any

import pytest

from nightlatch.store.admission.schema import admitted
from nightlatch.store.protocol import InvalidError
from tests.contract.store_contract import endpoint


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"scalling": {}}, "spec.scalling: unknown field (did you mean scaling?)"),
        ({"colour": "red"}, "spec.colour: unknown field"),
        ({"scaling": {"hold": {"TimeOut": "1s"}}}, "spec.scaling.hold.TimeOut: unknown field (did you mean timeout?)"),
        ({"scaling": {"idleAfter": 5}}, "spec.scaling.idleAfter: must be text, not a number: put it in quotes"),
        ({"scaling": {"idleAfter": ["5s"]}}, "spec.scaling.idleAfter: must be text, not a list"),
        ({"scaling": {"maxReplicas": "2"}}, "spec.scaling.maxReplicas: must be a whole number, not text"),
        ({"scaling": {"maxReplicas": True}}, "spec.scaling.maxReplicas: must be a whole number, not true or false"),
        ({"scaling": {"maxReplicas": 0}}, "spec.scaling.maxReplicas: 0 is too low: write 1 or more"),
        ({"scaling": {"maxReplicas": 1000}}, "spec.scaling.maxReplicas: 1000 is too high: write 100 or less"),
        (
            {"scaling": {"idle": "standby"}},
            'spec.scaling.idle: unsupported value "standby": write one of Zero, Standby (did you mean Standby?)',
        ),
        ({"model": {}}, "spec.model.source: required value: write it"),
        ({"model": {"source": {"path": ""}}}, "spec.model.source.path: must not be empty"),
        ({"model": {"source": {"path": "/" * 5000}}}, "spec.model.source.path: too long: may not be more than 4096"),
        ({"access": "anyone"}, "spec.access: must be a map, not text"),
        ({"access": {"accept": [], "apiKey": {}}}, "spec.access.accept: too few items: write at least 1"),
        (
            {"runtime": {"resources": {"limits": {"cpu": [1]}}}},
            "spec.runtime.resources.limits.cpu: must be text or a whole number, not a list",
        ),
        (
            {"runtime": {"env": [{"name": "A"}, {"name": "A"}]}},
            'spec.runtime.env[1]: duplicate value: {"name": "A"} is already in the list',
        ),
    ],
)
def test_a_refusal_says_where_and_what_to_write(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidError) as caught:
        admitted(endpoint("ns", **spec))
    assert f"InferenceEndpoint ns/minilm is invalid: {says}" in str(caught.value)


def test_rules_wait_until_the_structure_is_right() -> None:
    with pytest.raises(InvalidError) as caught:
        admitted(endpoint("ns", access={}, scaling={"maxReplicas": "two"}))
    assert [path for path, _ in caught.value.causes] == ["spec.scaling.maxReplicas"]
