"""A caller can ask to be held for fewer seconds than the endpoint allows; anything else in that header is refused."""

import pytest

from nightlatch.gatekeeper.hold.hold_service import asked_timeout


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "",
        "0",
        "0.000",
        "-1",
        "+1",
        "nan",
        "inf",
        "infinity",
        "1e3",
        "1E3",
        "1_0",
        "0x1",
        " 1",
        "1 ",
        "1\n",
        "1,2",
        "1.",
        ".5",
        "1.2.3",
        "\u0661",
        "\uff11",
        "1\u0660",
        "9" * 400,
    ],
)
def test_a_hold_timeout_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="x-nightlatch-hold-timeout is not a number of seconds"):
        asked_timeout({"x-nightlatch-hold-timeout": text})


@pytest.mark.parametrize(("text", "seconds"), [("1.5", 1.5), ("30", 30.0), ("007", 7.0), ("0.25", 0.25)])
def test_a_hold_timeout_is_seconds(text: str, seconds: float) -> None:
    assert asked_timeout({"x-nightlatch-hold-timeout": text}) == seconds


def test_a_caller_need_not_choose() -> None:
    assert asked_timeout({}) is None
