"""The plain CEL engine judges as an API server would."""

import pytest

from nightlatch.store.admission.cel import holds, violations


def test_a_reserved_word_is_written_as_the_api_server_demands() -> None:
    assert holds("self.__namespace__ == 'a'", {"namespace": "a"})
    assert not holds("has(self.__namespace__)", {"name": "a"})


def test_an_error_in_evaluation_is_a_violation() -> None:
    assert not holds("self.absent > 1", {"present": 2})
    assert not holds("self.text > 1", {"text": "two"})


def test_a_rule_that_is_not_true_is_broken() -> None:
    assert not holds("self", False)
    assert not holds("'text'", {})


@pytest.mark.parametrize("rule", ["self.a.split(',').size() > 1", "self.?a.orValue(1) == 1", "self."])
def test_what_goes_beyond_core_cel_does_not_compile(rule: str) -> None:
    with pytest.raises(RuntimeError, match="INVALID_ARGUMENT"):
        holds(rule, {"a": "1,2"})


def test_a_rule_is_checked_wherever_its_schema_stands() -> None:
    rule = {"x-kubernetes-validations": [{"rule": "self.size() > 1", "message": "too short"}], "type": "string"}
    schema = {"properties": {"list": {"items": rule}, "map": {"additionalProperties": rule}, "none": rule}}
    value = {"list": ["ab", "c"], "map": {"x": "d", "y": "ef"}}
    assert list(violations(schema, value)) == [("list[1]", "too short"), ("map[x]", "too short")]
