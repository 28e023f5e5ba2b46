"""What the files store promises beyond the contract: several processes, its directory, files that people touched."""

import asyncio
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nightlatch.api.meta import INFERENCE_ENDPOINT, SECRET, NamespacedName, ObjectRef
from nightlatch.informer import ExpiredError
from nightlatch.store.files.object_files import DamagedObjectError
from nightlatch.store.files.state_directory import StateDirectoryError
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import InvalidError, StoreError, UnavailableError
from tests.contract.store_contract import Follower, endpoint, secret
from tests.unit.store.test_killed_writer import FORK

HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
NOBODY = 65534


async def write_ten(directory: Path, writer: int) -> None:
    store = FilesStore(directory)
    for number in range(10):
        await store.create(secret("ns", f"w{writer}-{number}"))


def test_writers_in_several_processes_take_turns(tmp_path: Path) -> None:
    FilesStore(tmp_path)
    writers = [FORK.Process(target=lambda n=n: asyncio.run(write_ten(tmp_path, n))) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    listing = asyncio.run(FilesStore(tmp_path, read_only=True).list(SECRET))
    versions = sorted(int(item["metadata"]["resourceVersion"]) for item in listing.items)
    assert versions == list(range(1, 31))
    assert listing.resource_version == "30"


async def test_versions_go_on_after_a_restart(tmp_path: Path) -> None:
    first = await FilesStore(tmp_path).create(secret("ns", "one"))
    second = await FilesStore(tmp_path).create(secret("ns", "two"))
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1


async def test_a_directory_that_went_away_is_unavailable_and_no_crash(tmp_path: Path) -> None:
    store = FilesStore(tmp_path / "state")
    await store.create(secret("ns", "one"))
    watch = store.watch(SECRET, since="0")
    await anext(watch)
    following = asyncio.create_task(anext(watch))
    await asyncio.sleep(0)
    (tmp_path / "state").rename(tmp_path / "away")
    with pytest.raises(UnavailableError, match="cannot read"):
        await store.list(SECRET)
    with pytest.raises(UnavailableError, match="cannot read"):
        await store.get(SECRET, "ns", "one")
    # A watch that can be resumed no more says so; listing anew then tells the rest.
    with pytest.raises((ExpiredError, UnavailableError)):
        await following


@pytest.mark.parametrize("damage", ["", '{"compacted":0}\nnot json\n', '{"compacted":0}\n'])
async def test_a_lost_journal_never_gives_a_version_twice(tmp_path: Path, damage: str) -> None:
    store = FilesStore(tmp_path)
    for name in ("a", "b", "c"):
        last = await store.create(secret("ns", name))
    (tmp_path / "journal.jsonl").write_text(damage)
    reopened = FilesStore(tmp_path)
    new = await reopened.create(secret("ns", "d"))
    assert int(new["metadata"]["resourceVersion"]) > int(last["metadata"]["resourceVersion"])
    with pytest.raises(ExpiredError):
        await anext(reopened.watch(SECRET, since="1"))


async def test_a_watch_survives_a_compaction_it_was_ahead_of_and_no_other(tmp_path: Path) -> None:
    store = FilesStore(tmp_path)
    await store.create(secret("ns", "a"))
    ahead, behind = (
        store.watch(SECRET, since=(await store.list(SECRET)).resource_version),
        store.watch(SECRET, since="0"),
    )
    waiting = asyncio.ensure_future(anext(ahead))
    store.compact()
    await store.create(secret("ns", "b"))
    assert (await waiting).ref.key.name == "b"
    with pytest.raises(ExpiredError):
        await anext(behind)


async def test_a_version_of_another_store_is_expired(tmp_path: Path) -> None:
    with pytest.raises(ExpiredError, match="list again"):
        await anext(FilesStore(tmp_path).watch(SECRET, since="999"))


async def test_a_long_journal_is_cut_and_its_newest_lines_stay(tmp_path: Path) -> None:
    store = FilesStore(tmp_path)
    store._journal._limit = 2000
    for number in range(30):
        await store.create(secret("ns", f"s{number}"))
    assert (tmp_path / "journal.jsonl").stat().st_size < 2500
    watch = store.watch(SECRET, since="28")
    assert [(await anext(watch)).ref.key.name for _ in range(2)] == ["s28", "s29"]


async def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    store = FilesStore(tmp_path / "state")
    await store.create(secret("ns", "key", token=b"private"))
    for path in [tmp_path / "state", *(tmp_path / "state").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


async def test_an_old_directory_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    FilesStore(tmp_path / "state")
    (tmp_path / "state").chmod(0o755)
    FilesStore(tmp_path / "state")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "letter.txt").write_text("dear")
    with pytest.raises(StateDirectoryError, match="--state-dir"):
        FilesStore(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateDirectoryError, match=r"state.*--state-dir"):
        FilesStore(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")
def test_another_user_s_directory_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    with pytest.raises(StateDirectoryError, match=f"belongs to user {NOBODY}"):
        FilesStore(tmp_path)


def test_no_permission_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    ours, theirs = FORK.Pipe()

    def as_somebody() -> None:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        try:
            FilesStore(tmp_path / "shut" / "state")
        except StateDirectoryError as error:
            theirs.send(str(error))

    child = FORK.Process(target=as_somebody)
    child.start()
    child.join()
    assert ours.poll()
    assert re.search(r"shut/state.*Permission denied.*--state-dir", ours.recv())


def test_a_reader_of_nothing_is_told_to_start_first(tmp_path: Path) -> None:
    with pytest.raises(StateDirectoryError, match="nightlatch up"):
        FilesStore(tmp_path / "state", read_only=True)
    assert not (tmp_path / "state").exists()


async def test_a_reader_sees_the_writer_s_changes_and_makes_none(tmp_path: Path) -> None:
    writer = FilesStore(tmp_path)
    reader = FilesStore(tmp_path, read_only=True)
    follower = Follower(reader.watch(SECRET, since="0"))
    created = await writer.create(secret("ns"))
    assert (await follower.next())[0].object == created
    await follower.stop()
    with pytest.raises(StoreError, match="read-only"):
        await reader.delete(ObjectRef.of(created))


@pytest.mark.parametrize(
    "text", ["a: [", "just text", "{}", "kind: Secret\nmetadata: {name: other, namespace: ns}\n", "\x00"]
)
async def test_a_damaged_file_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    store = FilesStore(tmp_path)
    await store.create(secret("ns", "key", token=b"private"))
    path = tmp_path / "objects" / "secrets" / "ns" / "key.yaml"
    path.write_text(text)
    for read in (store.get(SECRET, "ns", "key"), store.list(SECRET)):
        with pytest.raises(DamagedObjectError, match=r"objects/secrets/ns/key\.yaml.*remove the file"):
            await read
    with pytest.raises(DamagedObjectError):
        FilesStore(tmp_path)


async def test_a_time_in_a_file_stays_text(tmp_path: Path) -> None:
    store = FilesStore(tmp_path)
    created = await store.create(endpoint("ns"))
    path = tmp_path / "objects" / "inferenceendpoints" / "ns" / "minilm.yaml"
    path.write_text(path.read_text().replace("'", ""))
    found = await FilesStore(tmp_path).get(INFERENCE_ENDPOINT, "ns", "minilm")
    assert found["metadata"]["creationTimestamp"] == created["metadata"]["creationTimestamp"]


async def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    store = FilesStore(tmp_path / "state")
    for namespace, name in (("..", "x"), ("ns", "../../x"), ("ns", "a/b"), ("", "x")):
        with pytest.raises(InvalidError, match=r"metadata\.name"):
            await store.create({**secret("ns"), "metadata": {"name": name, "namespace": namespace}})


async def test_a_refusal_of_a_secret_holds_nothing_of_it(tmp_path: Path) -> None:
    bad = {**secret("ns"), "data": {"token": "!!hunter2!!"}}
    with pytest.raises(InvalidError, match=r"data\.token: must be base64") as caught:
        await FilesStore(tmp_path).create(bad)
    assert "hunter2" not in str(caught.value)


async def test_the_journal_holds_nothing_of_a_secret(tmp_path: Path) -> None:
    await FilesStore(tmp_path).create(secret("ns", "key", token=b"hunter2"))
    assert "aHVudGVyMg" not in (tmp_path / "journal.jsonl").read_text()
    assert "aHVudGVyMg" in (tmp_path / "objects" / "secrets" / "ns" / "key.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"metadata": {"name": "x", "namespace": "ns", "lables": {}}}, "metadata.lables"),
        ({"metadata": {"name": "x", "namespace": "ns", "labels": {"a b": "c"}}}, "metadata.labels"),
        ({"metadata": {"name": "x", "namespace": "ns", "labels": {"a": "b c"}}}, "metadata.labels.a"),
        ({"metadata": {"name": "x", "namespace": "ns", "finalizers": ["f"]}}, "metadata.finalizers"),
        ({"metadata": {"name": "x", "namespace": "ns", "resourceVersion": "3"}}, "metadata.resourceVersion"),
        ({"metadata": {"name": "x"}}, "metadata.namespace"),
        ({"metadata": None}, "metadata"),
        ({"dta": {}}, "dta"),
        ({"kind": "Sekret"}, "kind"),
        ({"data": {"k": "x" * (2 * 1024 * 1024)}}, "data"),
        ({"type": "kubernetes.io/tls"}, "data.tls.crt"),
    ],
)
async def test_what_a_cluster_would_refuse_is_refused(tmp_path: Path, change: dict, path: str) -> None:
    with pytest.raises(InvalidError) as caught:
        await FilesStore(tmp_path).create({**secret("ns"), **change})
    assert path in [cause[0] for cause in caught.value.causes]


async def test_a_killed_writer_blocks_no_other(tmp_path: Path) -> None:
    store = FilesStore(tmp_path)
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, tmp_path / "lock", stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert holder.stdout
    await holder.stdout.readline()
    writing = asyncio.create_task(store.create(secret("ns")))
    done, _ = await asyncio.wait({writing}, timeout=0.1)
    assert not done
    holder.kill()
    await holder.wait()
    await writing
    assert NamespacedName.of(await store.get(SECRET, "ns", "key")) == NamespacedName("ns", "key")


async def test_changes_that_came_together_are_one_event_and_the_first_is_an_addition(tmp_path: Path) -> None:
    store = FilesStore(tmp_path)
    obj = await store.create(endpoint("ns"))
    for number in (1, 2):
        obj = await store.replace({**obj, "spec": {**obj["spec"], "requestTimeout": f"{number}s"}})
    follower = Follower(store.watch(INFERENCE_ENDPOINT, since="0"))
    (added,) = await follower.next()
    assert (added.type, added.object) == ("Added", obj)
    obj = await store.replace_status({**obj, "status": {**obj["status"], "url": "https://minilm"}})
    (modified,) = await follower.next()
    assert (modified.type, modified.object) == ("Modified", obj)
    await follower.stop()
