"""Durations: what people write, in seconds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightlatch.api import duration
from nightlatch.api.duration import parse_duration
from nightlatch.store.admission.cel import holds

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
PARTS = st.lists(st.tuples(st.integers(0, 999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4)


@settings(deadline=None)
@given(PARTS)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(number * UNITS[unit] for number, unit in parts))


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "5m\n", "1w", "5s ", "٣s", "9" * 40 + "s"])
def test_what_is_no_duration_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_duration(text)


@settings(deadline=None, max_examples=50)
@given(st.one_of(st.text("0123456789msh d.", max_size=12), st.text(max_size=6)))
def test_the_rule_in_the_crd_and_the_parser_agree(text: str) -> None:
    try:
        parse_duration(text)
        parses = True
    except ValueError:
        parses = False
    assert holds(f"self.matches('{duration.PATTERN}')", text) is parses
