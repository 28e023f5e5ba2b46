"""The tour: every promise of the first storey shown and checked, on real processes, with real numbers."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nightlatch.api.meta import NamespacedName
from nightlatch.api_keys.api_key import mint
from nightlatch.embedded import http_client, lock
from nightlatch.embedded.console.lines import Level
from nightlatch.embedded.demo import manifests
from nightlatch.embedded.demo.probe import Observer
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.layout import Layout

MINILM = NamespacedName("default", "minilm")
OTHER = NamespacedName("default", "other")
IDLE_AFTER = "3s"
REFUSED_CALLS = 20
WARM_CALLS = 200
TEXTS = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell sharply today."]
PATIENCE_S = 60.0
STOP_S = 15.0

Print = Callable[[str, Level], None]


@dataclass(frozen=True, slots=True)
class Tour:
    """A running tour. `show` prints a line; `title` a heading; `process` is `up`."""

    observer: Observer
    show: Print
    title: Callable[[str], None]
    model: Path
    directory: Path
    process: subprocess.Popen[bytes]

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]], *, timeout_s: float) -> float:
        """See Observer."""
        return await self.observer.until(what, condition, timeout_s=timeout_s, process=self.process)

    def check(self, promise: str, *, held: bool) -> None:
        """Show whether a promise held; raises UserError when it did not."""
        self.show(f"  {'✓' if held else '✗'} {promise}", "good" if held else "bad")
        if not held:
            raise UserError(f"a promise was not kept: {promise}", f"the logs are in {self.observer.layout.root}")

    def connection(self, client: str = "search-bot") -> tuple[http_client.Connection, str]:
        """To the endpoint minilm, and a client's key."""
        files = self.observer.layout.client(NamespacedName("default", client))
        port = _port(self.observer.layout)
        url = f"https://{MINILM.name}.{MINILM.namespace}.localhost:{port}"
        return http_client.Connection(url, files / "ca.crt"), (files / "api-key").read_text().strip()


def _port(layout: Layout) -> int:
    running = lock.running(layout)
    if running is None:
        raise UserError("`nightlatch up` ended unexpectedly", f"see {layout.root}")
    return running.ports[0]


async def run(directory: Path, model: Path, show: Print, title: Callable[[str], None]) -> None:
    """All of it, in `directory`. Raises UserError when a promise is not kept."""
    manifest = directory / "tour.yaml"
    manifest.write_text(manifests.tour(model, IDLE_AFTER))
    observer = Observer(Layout.at(directory / "state"))
    with _started(manifest, observer.layout.root, directory / "up.out") as process:
        tour = Tour(observer, show, title, model, directory, process)
        await applied(tour)
        refused(tour)
        await woken(tour)
        warm(tour)
        await asleep_again(tour)
        stopped(tour)
    wrong_manifest(tour)


@contextmanager
def _started(manifest: Path, state: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`nightlatch up` as a user starts it; it does not outlive the block."""
    with out.open("wb") as file:
        process = subprocess.Popen(_command(manifest, state), stdout=file, stderr=file)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stopped(tour: Tour) -> None:
    """SIGTERM, as Ctrl-C, leaves nothing behind."""
    tour.title("SIGTERM, as Ctrl-C")
    children = tour.observer.processes()
    tour.process.terminate()
    _wait(tour.process)
    left = [child for child in children if child.is_running()]
    promise = f"`up` exited with 0 and none of its {len(children)} processes is left"
    tour.check(promise, held=tour.process.returncode == 0 and not left)


def _command(manifest: Path, state: Path) -> list[str]:
    return [sys.executable, "-m", "nightlatch", "up", str(manifest), "--state-dir", str(state), "--port", "0"]


async def applied(tour: Tour) -> None:
    """(a) Applied and Ready while asleep."""
    tour.title("(a) Two endpoints applied: Ready, and asleep")
    started = time.monotonic()
    for key, client in ((MINILM, "search-bot"), (OTHER, "other-bot")):
        await tour.until(f"{key} to be Ready", lambda key=key: _is_ready(tour, key), timeout_s=PATIENCE_S)  # type: ignore[misc]
        files = tour.observer.layout.client(NamespacedName("default", client))
        await tour.until(f"the key of {client}", lambda files=files: _exists(files / "api-key"), timeout_s=10)  # type: ignore[misc]
    seen = await tour.observer.view(MINILM)
    tour.show(f"  {seen.url} after {time.monotonic() - started:.1f} s", "info")
    tour.check("Ready while Asleep", held=seen.ready is True and seen.state == "Asleep")
    tour.check("no model server runs", held=tour.observer.model_servers() == 0)


async def _is_ready(tour: Tour, key: NamespacedName) -> bool:
    return (await tour.observer.view(key)).ready is True


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


def refused(tour: Tour) -> None:
    """(b) Strangers wake nobody."""
    tour.title(f"(b) {REFUSED_CALLS} calls by strangers: refused, and nobody woke")
    connection, foreign = tour.connection("other-bot")
    strangers = [("no key", None), ("a wrong key", mint(secrets.token_bytes).text), ("another endpoint's key", foreign)]
    before = tour.observer.checks()
    answers: dict[str, list[int]] = {}
    for index in range(REFUSED_CALLS):
        who, key = strangers[index % len(strangers)]
        answers.setdefault(who, []).append(http_client.embed(connection, MINILM.name, TEXTS[:1], key).status)
    for who, statuses in answers.items():
        tour.show(f"  {len(statuses)} with {who}: {', '.join(map(str, sorted(set(statuses))))}", "info")
    tour.check("every one was refused with 401", held={s for each in answers.values() for s in each} == {401})
    tour.check(
        f"Python was asked about {tour.observer.checks() - before} of them", held=tour.observer.checks() == before
    )
    tour.check(f"{tour.observer.model_servers()} model servers run", held=tour.observer.model_servers() == 0)


async def woken(tour: Tour) -> None:
    """(c) One call with the key is held and answered by the fresh process."""
    tour.title("(c) One call with the key: held, woken, answered")
    connection, key = tour.connection()
    started = time.monotonic()
    answer = await asyncio.to_thread(http_client.embed, connection, MINILM.name, TEXTS, key)
    took_ms = (time.monotonic() - started) * 1000
    if answer.status != 200:
        tour.check(f"answered {answer.status} {answer.message}", held=False)
    seen = await tour.observer.view(MINILM)
    await tour.until("the wake in the status", lambda: _has_wake(tour), timeout_s=10)
    seen = await tour.observer.view(MINILM)
    tour.show(f"  answered after {took_ms:.0f} ms, held for {answer.wake_ms or 0:.0f} ms of them", "info")
    tour.show("  " + " · ".join(f"{name} {ms} ms" for name, ms in seen.phases), "info")
    cat, kitten, market = http_client.vectors(answer)
    related, unrelated = http_client.cosine(cat, kitten), http_client.cosine(cat, market)
    tour.show(f"  {TEXTS[0]!r} and {TEXTS[1]!r}: {related:.2f}", "info")
    tour.show(f"  {TEXTS[0]!r} and {TEXTS[2]!r}: {unrelated:.2f}", "info")
    tour.check("held for the wake, then answered 200", held=answer.wake_ms is not None)
    tour.check("the related sentence is the closer one", held=related > unrelated + 0.3)
    tour.check("one model server runs", held=tour.observer.model_servers() == 1)


async def _has_wake(tour: Tour) -> bool:
    return bool((await tour.observer.view(MINILM)).wake_at)


def warm(tour: Tour) -> None:
    """(d) Warm calls, one after the other on one connection."""
    tour.title(f"(d) {WARM_CALLS} warm calls, one after the other")
    connection, key = tour.connection()
    times, statuses = [], set()
    before = tour.observer.checks()
    for _ in range(WARM_CALLS):
        started = time.perf_counter()
        statuses.add(http_client.embed(connection, MINILM.name, TEXTS[:1], key).status)
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    p50, p99 = times[len(times) // 2 - 1], times[len(times) * 99 // 100 - 1]
    tour.show(f"  p50 {p50:.1f} ms · p99 {p99:.1f} ms · {os.cpu_count()} cores, model and gateway together", "info")
    tour.check("every one answered 200", held=statuses == {200})
    tour.check("none of them ran Python in the gateway", held=tour.observer.checks() == before)


async def asleep_again(tour: Tour) -> None:
    """(e) Idle, asleep."""
    tour.title(f"(e) Idle for {IDLE_AFTER}: asleep again")
    took = await tour.until("sleep", lambda: _is_asleep(tour), timeout_s=PATIENCE_S)
    tour.show(f"  {took:.1f} s after the last call", "info")
    seen = await tour.observer.view(MINILM)
    tour.check("Asleep, no model server runs, and still Ready", held=seen.ready is True)


async def _is_asleep(tour: Tour) -> bool:
    return (await tour.observer.view(MINILM)).state == "Asleep" and tour.observer.model_servers() == 0


def wrong_manifest(tour: Tour) -> None:
    """(f) What a user sees of a wrong manifest."""
    tour.title("(f) A wrong manifest: what you see")
    manifest = tour.directory / "wrong.yaml"
    manifest.write_text(manifests.broken(tour.model))
    ended = subprocess.run(
        _command(manifest, tour.directory / "unused"), capture_output=True, text=True, timeout=60, check=False
    )
    for line in ended.stderr.rstrip().splitlines():
        tour.show(f"  {line}", "info")
    named = "scalling" in ended.stderr and "idleAfter" in ended.stderr
    tour.check("both mistakes are named, nothing started, exit status 2", held=named and ended.returncode == 2)
