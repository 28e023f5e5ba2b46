"""The phases of a wake add up to its whole time."""

from nightlatch.gatekeeper.hold.wake_timer import WakeTimer


def test_wake_phases_add_up_and_a_skipped_one_takes_no_time() -> None:
    timer = WakeTimer()
    timer.begin(10.0)
    timer.mark("directed", 10.1)
    timer.mark("directed", 10.9)
    timer.mark("answered", 11.0)
    timer.mark("applied", 11.5)
    timer.mark("released", 12.0)
    assert timer.finish() == {"demand": 100.0, "start": 0.0, "probe": 900.0, "eds": 500.0, "release": 500.0}
    assert timer.finish() is None
