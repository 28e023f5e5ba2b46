"""Tasks that wait for a file wake when it changes, whoever changes it; nobody looks at it when no task waits."""

import asyncio
from pathlib import Path

from nightlatch.store.files import file_watcher as module
from nightlatch.store.files.file_watcher import FileWatcher


async def test_all_who_wait_wake_when_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("")
    watcher = FileWatcher(path)
    waits = [asyncio.create_task(watcher.wait(watcher.fingerprint())) for _ in range(3)]
    await asyncio.sleep(0)
    path.write_text("more")
    await asyncio.wait_for(asyncio.gather(*waits), 10)
    assert watcher._task is None


async def test_a_change_before_the_wait_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("")
    watcher = FileWatcher(path)
    seen = watcher.fingerprint()
    path.write_text("more")
    await asyncio.wait_for(watcher.wait(seen), 10)


async def test_a_writer_in_this_process_does_not_wait_for_the_next_look(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "INTERVAL", 3600)
    path = tmp_path / "journal"
    path.write_text("")
    watcher = FileWatcher(path)
    wait = asyncio.create_task(watcher.wait(watcher.fingerprint()))
    await asyncio.sleep(0.01)
    path.write_text("more")
    watcher.wake()
    await asyncio.wait_for(wait, 10)


async def test_nobody_looks_when_nobody_waits(tmp_path: Path) -> None:
    watcher = FileWatcher(tmp_path / "journal")
    waits = [asyncio.create_task(watcher.wait(watcher.fingerprint())) for _ in range(2)]
    await asyncio.sleep(0.01)
    looking = watcher._task
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    assert looking is not None
    await asyncio.wait({looking}, timeout=10)
    assert looking.cancelled()
