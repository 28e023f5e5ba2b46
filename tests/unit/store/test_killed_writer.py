"""A writer that is killed leaves a store whose journal and objects agree, whatever it was doing.

The writers are forked children that get a real SIGKILL, at a chosen moment or at any.
"""

import asyncio
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef, RawObject
from nightlatch.informer import WatchEvent
from nightlatch.store.files.journal import Change, Journal
from nightlatch.store.files.store import FilesStore

FORK = multiprocessing.get_context("fork")


def named(name: str, **fields: object) -> RawObject:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "ns"}, **fields}


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_the_object() -> None:
    FilesStore._carry_out = die  # type: ignore[assignment]


def after_the_object() -> None:
    Journal.commit = die  # type: ignore[assignment]


def within_the_line() -> None:
    def torn(journal: Journal, change: Change) -> None:
        text = json.dumps(asdict(change))
        with journal.path.open("a") as file:
            file.write(text[: len(text) // 2])
        die()

    Journal.commit = torn  # type: ignore[method-assign]


def after_the_line() -> None:
    original = Path.unlink
    Path.unlink = lambda path, **kw: die() if path.name == "pending.json" else original(path, **kw)  # type: ignore[method-assign]


VERBS: dict[str, Callable[[FilesStore], object]] = {
    "Added": lambda store: store.create(named("new", data={"a": "YQ=="})),
    "Modified": lambda store: store.replace(named("old", data={"a": "YQ=="})),
    "Deleted": lambda store: store.delete(ObjectRef(SECRET.kind, NamespacedName("ns", "old"))),
}


def killed_while(directory: Path, verb: str, moment: Callable[[], None]) -> None:
    """Make the change in a child that dies at the moment."""

    def child() -> None:
        moment()
        asyncio.run(VERBS[verb](FilesStore(directory)))  # type: ignore[arg-type]

    writer = FORK.Process(target=child)
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL


def assert_agreement(directory: Path) -> None:
    """The journal tells of every object its newest version, and of no other; versions go up by one."""
    store = FilesStore(directory)
    lines = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    first = lines[0]["compacted"] + 1
    assert [line["rv"] for line in lines[1:]] == list(range(first, first + len(lines) - 1))
    told: dict[str, int] = {}
    for line in lines[1:]:
        told[line["name"]] = line["rv"]
        if line["type"] == "Deleted":
            del told[line["name"]]
    items = asyncio.run(store.list(SECRET)).items
    assert {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in items} == told
    assert not (directory / "pending.json").exists()


async def events_until(store: FilesStore, since: str, last: str) -> list[WatchEvent]:
    events = []
    async for event in store.watch(SECRET, since=since):
        events.append(event)
        if event.ref.key.name == last:
            break
    return events


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("moment", [before_the_object, after_the_object, within_the_line, after_the_line])
def test_a_change_is_whole_or_never_was(tmp_path: Path, verb: str, moment: Callable[[], None]) -> None:
    store = FilesStore(tmp_path)
    since = asyncio.run(store.create(named("old")))["metadata"]["resourceVersion"]
    killed_while(tmp_path, verb, moment)

    # The next writer finishes what was begun; a watch that is open tells it, and what follows.
    after = asyncio.run(store.create(named("zzz")))
    assert_agreement(tmp_path)
    events = asyncio.run(events_until(store, since, "zzz"))
    told = [] if moment is before_the_object else [(verb, "new" if verb == "Added" else "old")]
    assert [(event.type, event.ref.key.name) for event in events] == [*told, ("Added", "zzz")]
    assert int(after["metadata"]["resourceVersion"]) == int(since) + len(events)


def test_opening_the_store_finishes_what_was_begun(tmp_path: Path) -> None:
    asyncio.run(FilesStore(tmp_path).create(named("old")))
    killed_while(tmp_path, "Added", within_the_line)
    FilesStore(tmp_path)
    assert_agreement(tmp_path)
    assert asyncio.run(FilesStore(tmp_path).get(SECRET, "ns", "new"))["data"] == {"a": "YQ=="}


async def write_forever(directory: Path) -> None:
    store = FilesStore(directory)
    for number in itertools.count():
        name = f"{os.getpid()}-{number}"
        created = await store.create(named(name))
        await store.replace({**created, "data": {"n": "YQ=="}})
        if number % 2:
            await store.delete(ObjectRef(SECRET.kind, NamespacedName("ns", name)))


def test_a_writer_killed_at_any_moment_leaves_agreement(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311 - moments, not secrets
    journal = FilesStore(tmp_path)._journal
    for _ in range(8):
        before = journal.last()
        writer = FORK.Process(target=lambda: asyncio.run(write_forever(tmp_path)))
        writer.start()
        while journal.last() == before:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.05))
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        assert_agreement(tmp_path)
