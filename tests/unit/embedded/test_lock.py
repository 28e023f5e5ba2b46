"""One `up` for each state directory."""

import threading

import pytest

from nightlatch.embedded import lock
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.layout import Layout


@pytest.fixture
def layout(tmp_path):
    layout = Layout.at(tmp_path / "state")
    layout.create(gateways=1)
    return layout


def test_a_second_up_is_refused_and_told_who_runs(layout):
    with lock.exclusive(layout):
        lock.announce(layout, (8443,))
        with pytest.raises(UserError, match="already runs"), lock.exclusive(layout):
            pass
        assert lock.running(layout).ports == (8443,)
    assert lock.running(layout) is None


def test_commands_that_look_whether_it_runs_never_keep_up_from_starting(layout):
    with lock.exclusive(layout):
        pass
    done = threading.Event()

    def look():
        while not done.wait(0.001):
            lock.running(layout)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with lock.exclusive(layout):
                pass
    finally:
        done.set()
        for looker in lookers:
            looker.join()
