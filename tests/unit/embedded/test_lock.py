"""One `up` for each state directory."""

import fcntl
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
        with pytest.raises(UserError, match="already running"), lock.exclusive(layout):
            pass
        assert lock.running(layout).ports == (8443,)
    assert lock.running(layout) is None


def test_a_command_that_looks_whether_it_runs_never_keeps_up_from_starting(layout):
    with lock.exclusive(layout):
        pass
    with layout.lock.open("r") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (looker, fcntl.LOCK_UN)).start()
        with lock.exclusive(layout):
            assert lock.running(layout) is None
