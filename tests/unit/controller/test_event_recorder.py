"""Which Events a leader posts about the endpoints that it finds."""

import asyncio

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.cluster.event_recorder import EventRecorder
from nightlatch.scaling.runtime import EndpointRuntime

KEY = NamespacedName("search", "minilm")


class Api:
    """Takes what is posted."""

    def __init__(self):
        self.posted = asyncio.Queue()

    async def request(self, method, _path, body=None):
        if method == "POST":
            self.posted.put_nowait(body["reason"])
        return {"metadata": {"uid": "u"}}


async def posted(*states):
    """The reasons of the Events, in order; the recorder hears of these states one after the other."""
    api = Api()
    recorder = EventRecorder(api, "operator-0")
    for state in (*states, EndpointRuntime(state="Draining")):
        recorder.changed(KEY, state)
    task = asyncio.create_task(recorder.run())
    reasons = []
    while not reasons or reasons[-1] != "Draining":
        reasons.append(await asyncio.wait_for(api.posted.get(), 10))
    task.cancel()
    return reasons[:-1]


async def test_a_new_leader_does_not_tell_again_what_it_finds():
    found, heard = EndpointRuntime(state="Awake", settled=False), EndpointRuntime(state="Awake")
    assert await posted(found, heard) == []


async def test_what_changes_after_that_is_told():
    found = EndpointRuntime(state="Asleep", settled=False)
    assert await posted(found, EndpointRuntime(state="Waking"), EndpointRuntime(state="Awake")) == ["Waking", "Awake"]


async def test_an_endpoint_that_appears_and_wakes_is_told():
    assert await posted(EndpointRuntime(), EndpointRuntime(state="Waking")) == ["Waking"]
