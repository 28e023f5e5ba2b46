"""A caller can ask to be held for fewer seconds than the endpoint allows; anything else in that header is refused."""

import pytest

from nightlatch.gatekeeper.hold.hold_service import asked_timeout


@pytest.mark.parametrize("text", ["soon", "", "0", "-1", "nan", "inf"])
def test_a_hold_timeout_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - float() says it in its own words
        asked_timeout({"x-nightlatch-hold-timeout": text})


def test_a_hold_timeout_is_seconds() -> None:
    assert asked_timeout({"x-nightlatch-hold-timeout": "1.5"}) == 1.5
    assert asked_timeout({}) is None
