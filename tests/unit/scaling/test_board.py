"""The wake board tells of changes, and only of changes."""

from nightlatch.api.meta import Key
from nightlatch.scaling.board import UNSEEN, EndpointRuntime, WakeBoard

KEY = Key("search", "minilm")


def test_a_change_is_told_once():
    told = []
    board = WakeBoard(told.append)
    board.put(KEY, EndpointRuntime(state="Waking", desired=1))
    board.put(KEY, EndpointRuntime(state="Waking", desired=1))
    assert told == [KEY]
    assert board.get(KEY).state == "Waking"


def test_an_endpoint_nobody_looked_at_is_unseen():
    board = WakeBoard()
    board.put(KEY, EndpointRuntime(state="Awake"))
    board.forget(KEY)
    assert board.get(KEY) is UNSEEN
