"""One policy for everything that follows objects: deletion, order, pauses, silence, faults, logs."""

import asyncio
import logging

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.informer import (
    GOOD_WATCH_S,
    LONGEST_PAUSE_S,
    Bookmark,
    ExpiredError,
    Informer,
    Listing,
    SourceError,
    Timing,
    WatchEvent,
)

A, B = NamespacedName("search", "a"), NamespacedName("search", "b")
END = object()


def obj(name, version, uid="uid-1", generation=1, **metadata):
    known = {"name": name, "namespace": "search", "uid": uid, "generation": generation, "resourceVersion": str(version)}
    return {"kind": "InferenceClient", "metadata": {**known, **metadata}}


def deleting(raw):
    return {**raw, "metadata": {**raw["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}}


def event(type_, raw):
    return WatchEvent(type_, raw, raw["metadata"]["resourceVersion"])


class Script:
    """A source: answers in turn, the last list for ever; each watch plays its own items, then stays open."""

    def __init__(self, *lists, watches=()):
        self.lists, self.watches = list(lists), list(watches)
        self.listed, self.since = 0, []
        self.now, self.pauses = 0.0, []

    async def list(self):
        self.listed += 1
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(self, since):
        self.since.append(since)
        if len(self.since) > len(self.watches):
            await asyncio.Event().wait()
        for item in self.watches[len(self.since) - 1]:
            if item is END:
                return
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                self.now += item
            else:
                yield item
        await asyncio.Event().wait()

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def listing(version, *items):
    return Listing(items, str(version))


async def played(source, on_change=None, until=None):
    """What was handed over, once every scripted watch was opened and read; and the informer."""
    told = []

    def change(key, raw):
        if on_change:
            on_change(key, raw)
        told.append((key.name, raw and int(raw["metadata"]["resourceVersion"])))

    timing = Timing(clock=lambda: source.now, sleep=source.sleep, random=lambda: 0.0)
    informer = Informer(source, change, name="clients", timing=timing)
    following = asyncio.create_task(informer.run())
    for _ in range(400):
        await asyncio.sleep(0)
        if until and until():
            break
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return told, informer


async def test_what_is_being_deleted_is_gone_for_lists_and_for_events():
    held = obj("a", 3)
    source = Script(
        listing(5, held, deleting(obj("b", 4))),
        listing(9, deleting(obj("a", 6))),
        watches=[[event("Modified", deleting(obj("a", 6))), ExpiredError("list again")]],
    )
    told, _ = await played(source)
    assert told == [("a", 3), ("a", None)]


async def test_what_began_to_be_deleted_between_two_lists_is_gone():
    source = Script(listing(5, obj("a", 3)), listing(9, deleting(obj("a", 6))), watches=[[ExpiredError("list again")]])
    assert (await played(source))[0] == [("a", 3), ("a", None)]


@pytest.mark.parametrize(
    ("late", "why"),
    [
        (event("Modified", obj("a", 3)), "older than the list"),
        (event("Added", obj("b", 4)), "of an object that the list no longer had"),
        (event("Deleted", obj("a", 2, uid="uid-0")), "the deletion of a predecessor"),
        (event("Modified", deleting(obj("a", 4, uid="uid-0"))), "a predecessor that is being deleted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_old_event_never_undoes_a_newer_list(late, why):
    told, _ = await played(Script(listing(9, obj("a", 7)), watches=[[late]]))
    assert told == [("a", 7)], why


@pytest.mark.parametrize(
    ("late", "why"),
    [
        (event("Modified", obj("a", 11)), "older than the last event"),
        (event("Deleted", obj("a", 11, uid="uid-0")), "the deletion of a predecessor"),
        (event("Added", obj("b", 11)), "older than the deletion"),
        (event("Modified", obj("a", 12, uid="uid-2", generation=1)), "told twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_old_event_never_undoes_a_newer_event(late, why):
    newer = [event("Added", obj("b", 10)), event("Deleted", obj("b", 13)), event("Added", obj("a", 12, uid="uid-2"))]
    told, _ = await played(Script(listing(9), watches=[[*newer, late]]))
    assert told == [("b", 10), ("b", None), ("a", 12)], why


async def test_without_comparable_versions_uid_and_generation_decide():
    def opaque(*args, **metadata):
        raw = obj(*args, **metadata)
        raw["metadata"]["resourceVersion"] = "opaque"
        return raw

    told = []
    source = Script(
        Listing((opaque("a", 0, uid="uid-2", generation=3),), "opaque"),
        watches=[
            [
                event("Deleted", opaque("a", 0, uid="uid-1")),
                event("Modified", opaque("a", 0, uid="uid-2", generation=2)),
                event("Modified", opaque("a", 0, uid="uid-2", generation=4)),
                event("Deleted", opaque("a", 0, uid="uid-2", generation=4)),
            ]
        ],
    )
    informer = Informer(source, lambda _, raw: told.append(raw and raw["metadata"]["generation"]), name="clients")
    following = asyncio.create_task(informer.run())
    for _ in range(20):
        await asyncio.sleep(0)
    following.cancel()
    assert told == [3, 4, None]


async def test_a_list_of_several_namespaces_is_as_old_as_its_oldest_part():
    listed = Listing((obj("a", 7),), "9,30")
    told, _ = await played(Script(listed, watches=[[event("Added", obj("b", 9)), event("Modified", obj("a", 10))]]))
    assert told == [("a", 7), ("a", 10)]


async def test_a_list_is_the_truth_even_after_the_versions_went_back():
    """As after a restore of the API server from a backup."""
    source = Script(listing(90, obj("a", 80)), listing(9, obj("a", 7)), watches=[[ExpiredError("ahead")], []])
    source.watches[1] = [event("Modified", obj("a", 10))]
    assert (await played(source))[0] == [("a", 80), ("a", 7), ("a", 10)]


async def test_a_new_list_hands_over_only_what_changed():
    source = Script(
        listing(5, obj("a", 3), obj("b", 4)), listing(9, obj("a", 3), obj("b", 8)), watches=[[ExpiredError("again")]]
    )
    assert (await played(source))[0] == [("a", 3), ("b", 4), ("b", 8)]


async def test_changes_of_a_list_are_settled_together_and_each_event_by_itself():
    batches, open_ = [], []

    def settled():
        batches.append(list(open_))
        open_.clear()

    source = Script(listing(5, obj("a", 3), obj("b", 4)), watches=[[event("Modified", obj("a", 6)), Bookmark("7")]])
    informer = Informer(source, lambda key, _: open_.append(key.name), name="clients", after=settled)
    following = asyncio.create_task(informer.run())
    for _ in range(20):
        await asyncio.sleep(0)
    following.cancel()
    assert batches == [["a", "b"], ["a"]]


async def test_one_object_that_cannot_be_handled_blinds_to_no_other_and_is_handed_over_again(caplog):
    broken = {"a"}

    def change(key, raw):
        if key.name in broken and raw:
            broken.discard(key.name)
            raise KeyError("the text of an unexpected error may hold a secret")

    source = Script(listing(5, obj("a", 3), obj("b", 4)), watches=[[event("Modified", obj("b", 6)), ExpiredError("x")]])
    source.lists.append(listing(9, obj("a", 3), obj("b", 6)))
    told, _ = await played(source, change)
    assert told == [("b", 4), ("b", 6), ("a", 3)]
    (record,) = [each for each in caplog.records if each.message == "cannot handle an object"]
    assert (record.object, record.error) == ("search/a", "KeyError")
    assert "secret" not in caplog.text


async def test_watches_that_end_at_once_cost_pauses_that_grow_and_no_lists():
    source = Script(listing(5), watches=[[END]] * 8)
    await played(source)
    assert source.pauses == [1, 2, 4, 8, 10, 10, 10, 10]
    assert (source.listed, source.since) == (1, ["5"] * 9)


async def test_watches_that_expire_or_fail_at_once_do_too():
    for failure in (ExpiredError("list again"), SourceError("refused"), KeyError("defect")):
        source = Script(listing(5), watches=[[failure]] * 5)
        await played(source)
        assert source.pauses == [1, 2, 4, 8, 10]
        assert source.listed == 6


async def test_pauses_are_spread_at_random():
    source, draws = Script(SourceError("away"), SourceError("away"), listing(5)), iter((0.0, 1.0))
    timing = Timing(clock=lambda: source.now, sleep=source.sleep, random=lambda: next(draws))
    await Informer(source, lambda *_: None, name="clients", timing=timing).load()
    assert source.pauses == [1.0, 3.0]
    assert LONGEST_PAUSE_S * 1.5 < 90


async def test_a_watch_that_moved_on_or_lasted_is_resumed_at_once_where_it_ended():
    moved, bookmarked = [event("Added", obj("a", 6)), END], [Bookmark("40"), END]
    source = Script(listing(5), watches=[[END], [END], moved, bookmarked, [GOOD_WATCH_S, END], [END]])
    await played(source)
    assert source.since == ["5", "5", "5", "6", "40", "40", "40"]
    assert source.pauses == [1, 2, 1]
    assert source.listed == 1


async def test_the_age_counts_from_the_last_word_of_the_watch():
    source = Script(listing(5), watches=[[7.0, event("Added", obj("a", 6)), 20.0, Bookmark("9"), 33.0]])
    _, informer = await played(source)
    assert informer.age == 33.0


async def test_a_change_of_state_is_one_line(caplog):
    caplog.set_level(logging.INFO)
    away = [SourceError("away")] * 5
    watches = [[Bookmark(version), SourceError("broke")] for version in ("6", "9")]
    source = Script(listing(5), *away, listing(8), *away, listing(10), watches=watches)
    _, informer = await played(source)
    lines = [(record.message, getattr(record, "error", None)) for record in caplog.records]
    assert lines == [("cannot follow objects", "away"), ("following objects again", None)] * 2
    assert informer.connected


async def test_watches_that_always_fail_are_one_line_though_lists_succeed(caplog):
    caplog.set_level(logging.INFO)
    _, informer = await played(Script(listing(5), watches=[[SourceError("refused")]] * 6))
    assert [record.message for record in caplog.records] == ["cannot follow objects"]
    assert not informer.connected


async def test_a_long_watch_that_breaks_is_no_line(caplog):
    caplog.set_level(logging.INFO)
    await played(Script(listing(5), watches=[[GOOD_WATCH_S, SourceError("silent")]] * 3))
    assert caplog.records == []


async def test_what_could_not_be_settled_is_settled_after_a_new_list():
    attempts, source = [], Script(listing(5), watches=[[event("Added", obj("a", 6))]])

    def settle():
        attempts.append(source.listed)
        if len(attempts) <= 3:
            raise KeyError("defect")

    timing = Timing(clock=lambda: source.now, sleep=source.sleep, random=lambda: 0.0)
    informer = Informer(source, lambda *_: None, name="clients", after=settle, timing=timing)
    following = asyncio.create_task(informer.run())
    for _ in range(100):
        await asyncio.sleep(0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert attempts == [1, 2, 3, 4, 4]
    assert source.pauses == [1, 2, 4]


async def test_a_watch_that_is_given_up_is_followed_by_a_new_list():
    source, told = Script(listing(1, obj("a", 1)), listing(5, obj("a", 1), obj("b", 5))), []
    informer = Informer(source, lambda key, _: told.append(key), name="clients")
    running = asyncio.create_task(informer.run())
    async with asyncio.timeout(5):
        while not source.since:
            await asyncio.sleep(0)
        informer.relist()
        while len(source.since) < 2:
            await asyncio.sleep(0)
    assert (told, source.since, source.listed) == ([A, B], ["1", "5"], 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
