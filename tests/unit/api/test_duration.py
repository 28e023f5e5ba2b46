"""Durations: what people write, in seconds."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightlatch.api import duration
from nightlatch.api.duration import parse_duration, renewal_window
from nightlatch.store.admission.cel import holds

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
PARTS = st.lists(st.tuples(st.integers(0, 99999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4)


@settings(deadline=None)
@given(PARTS)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(number * UNITS[unit] for number, unit in parts))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "5 s",
        "-5s",
        "1.5s",
        "5S",
        "5m\n",
        "1w",
        "30d",
        "5s ",
        "٣s",
        "9" * 40 + "s",
        "100000s",
        "1h1m1s1ms1h",
    ],
)
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


@settings(deadline=None, max_examples=50)
@given(PARTS, PARTS)
def test_cel_and_the_parser_order_durations_alike(parts: list[tuple[int, str]], others: list[tuple[int, str]]) -> None:
    a, b = ("".join(f"{number}{unit}" for number, unit in each) for each in (parts, others))
    assert holds("duration(self.a) < duration(self.b)", {"a": a, "b": b}) is (seconds(parts) < seconds(others))


def seconds(parts: list[tuple[int, str]]) -> Fraction:
    return sum((Fraction(number) * Fraction(str(UNITS[unit])) for number, unit in parts), Fraction())


@pytest.mark.parametrize("longest", ["99999h99999h99999h99999h"])
def test_no_duration_overflows_the_64_bits_of_the_api_server(longest: str) -> None:
    assert parse_duration(longest) * 1e9 < 2**63
    assert holds("duration(self) > duration('1s')", longest)


def test_a_certificate_is_renewed_after_two_thirds_of_its_lifetime_unless_the_user_says_when() -> None:
    assert renewal_window("24h", None) == parse_duration("8h")
    assert renewal_window("24h", "1h") == parse_duration("1h")
