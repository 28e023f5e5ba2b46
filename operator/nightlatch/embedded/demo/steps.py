"""The steps of the demo. Each shows one promise on real processes, with real numbers, and checks it."""

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
from nightlatch.embedded.demo.probe import UpProbe
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
class Demo:
    """A running demo. `show` prints a line, `title` a heading; `process` is `nightlatch up`."""

    probe: UpProbe
    show: Print
    title: Callable[[str], None]
    model: Path
    directory: Path
    process: subprocess.Popen[bytes]

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]], *, timeout_s: float) -> float:
        """Wait for a condition, and return how many seconds it took. Raises UserError."""
        return await self.probe.until(what, condition, timeout_s=timeout_s, process=self.process)

    def check(self, promise: str, *, held: bool) -> None:
        """Show whether a promise was kept. Raises UserError if it was not."""
        self.show(f"  {'✓' if held else '✗'} {promise}", "good" if held else "bad")
        if not held:
            raise UserError(f"a promise was not kept: {promise}", f"the logs are in {self.probe.layout.root}")

    def connection(self, client: str = "search-bot") -> tuple[http_client.Connection, str]:
        """A connection to the endpoint minilm, and the key of a client."""
        files = self.probe.layout.client(NamespacedName("default", client))
        port = _port(self.probe.layout)
        url = f"https://{MINILM.name}.{MINILM.namespace}.localhost:{port}"
        return http_client.Connection(url, files / "ca.crt"), (files / "api-key").read_text().strip()


def _port(layout: Layout) -> int:
    running = lock.running(layout)
    if running is None:
        raise UserError("`nightlatch up` stopped unexpectedly", f"see {layout.root}")
    return running.ports[0]


async def run(directory: Path, model: Path, show: Print, title: Callable[[str], None]) -> None:
    """Run all steps in `directory`. Raises UserError if a promise is not kept."""
    manifest = directory / "demo.yaml"
    manifest.write_text(manifests.two_endpoints(model, IDLE_AFTER))
    probe = UpProbe(Layout.at(directory / "state"))
    with _started(manifest, probe.layout.root, directory / "up.out") as process:
        demo = Demo(probe, show, title, model, directory, process)
        await applied(demo)
        refused(demo)
        await woken(demo)
        warm(demo)
        await asleep_again(demo)
        stopped(demo)
    wrong_manifest(demo)


@contextmanager
def _started(manifest: Path, state: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `nightlatch up` as a user would, until the end of the block."""
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


def stopped(demo: Demo) -> None:
    """`nightlatch up` stops on SIGTERM and leaves nothing behind."""
    demo.title("`nightlatch up` gets SIGTERM (Ctrl-C does the same)")
    children = demo.probe.processes()
    demo.process.terminate()
    _wait(demo.process)
    left = [child for child in children if child.is_running()]
    promise = f"exit status 0, and all of its {len(children)} processes have ended"
    demo.check(promise, held=demo.process.returncode == 0 and not left)


def _command(manifest: Path, state: Path) -> list[str]:
    return [sys.executable, "-m", "nightlatch", "up", str(manifest), "--state-dir", str(state), "--port", "0"]


async def applied(demo: Demo) -> None:
    """(a) Endpoints are Ready while they sleep."""
    demo.title("(a) Two endpoints are applied: Ready, and asleep")
    started = time.monotonic()
    for key, client in ((MINILM, "search-bot"), (OTHER, "other-bot")):
        await demo.until(f"{key} to be Ready", lambda key=key: _is_ready(demo, key), timeout_s=PATIENCE_S)  # type: ignore[misc]
        files = demo.probe.layout.client(NamespacedName("default", client))
        await demo.until(f"the key of {client}", lambda files=files: _exists(files / "api-key"), timeout_s=10)  # type: ignore[misc]
    seen = await demo.probe.view(MINILM)
    demo.show(f"  {seen.url} after {time.monotonic() - started:.1f} s", "info")
    demo.check("Ready while Asleep", held=seen.ready is True and seen.state == "Asleep")
    demo.check("no model server is running", held=demo.probe.model_servers() == 0)


async def _is_ready(demo: Demo, key: NamespacedName) -> bool:
    return (await demo.probe.view(key)).ready is True


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


def refused(demo: Demo) -> None:
    """(b) Callers without a valid key wake nothing."""
    demo.title(f"(b) {REFUSED_CALLS} calls without a valid key: refused, and the endpoint stays asleep")
    connection, foreign = demo.connection("other-bot")
    strangers = [("no key", None), ("a wrong key", mint(secrets.token_bytes).text), ("another endpoint's key", foreign)]
    before = demo.probe.checks()
    answers: dict[str, list[int]] = {}
    for index in range(REFUSED_CALLS):
        who, key = strangers[index % len(strangers)]
        answers.setdefault(who, []).append(http_client.embed(connection, MINILM.name, TEXTS[:1], key).status)
    for who, statuses in answers.items():
        demo.show(f"  {len(statuses)} with {who}: {', '.join(map(str, sorted(set(statuses))))}", "info")
    demo.check("every call was refused with 401", held={s for each in answers.values() for s in each} == {401})
    demo.check("none of them reached Python", held=demo.probe.checks() == before)
    demo.check("no model server is running", held=demo.probe.model_servers() == 0)


async def woken(demo: Demo) -> None:
    """(c) A call with the key is held, and answered by the model server that it woke."""
    demo.title("(c) One call with the key: held while the endpoint wakes, then answered")
    connection, key = demo.connection()
    started = time.monotonic()
    answer = await asyncio.to_thread(http_client.embed, connection, MINILM.name, TEXTS, key)
    took_ms = (time.monotonic() - started) * 1000
    if answer.status != 200:
        demo.check(f"answered {answer.status} {answer.message}", held=False)
    await demo.until("the wake in the status", lambda: _has_wake(demo), timeout_s=10)
    seen = await demo.probe.view(MINILM)
    demo.show(f"  answered after {took_ms:.0f} ms, of which it was held for {answer.wake_ms or 0:.0f} ms", "info")
    demo.show("  " + ", ".join(f"{name} {ms} ms" for name, ms in seen.phases), "info")
    cat, kitten, market = http_client.vectors(answer)
    related, unrelated = http_client.cosine(cat, kitten), http_client.cosine(cat, market)
    demo.show(f"  similarity of {TEXTS[0]!r} and {TEXTS[1]!r}: {related:.2f}", "info")
    demo.show(f"  similarity of {TEXTS[0]!r} and {TEXTS[2]!r}: {unrelated:.2f}", "info")
    demo.check("the call was held, then answered with 200", held=answer.wake_ms is not None)
    demo.check("the related sentence is the more similar one", held=related > unrelated + 0.3)
    demo.check("one model server is running", held=demo.probe.model_servers() == 1)


async def _has_wake(demo: Demo) -> bool:
    return bool((await demo.probe.view(MINILM)).wake_at)


def warm(demo: Demo) -> None:
    """(d) Calls to a warm endpoint never reach Python in the gateway."""
    demo.title(f"(d) {WARM_CALLS} calls to the warm endpoint, one after the other on one connection")
    connection, key = demo.connection()
    times, statuses = [], set()
    before = demo.probe.checks()
    for _ in range(WARM_CALLS):
        started = time.perf_counter()
        statuses.add(http_client.embed(connection, MINILM.name, TEXTS[:1], key).status)
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    p50, p99 = times[len(times) // 2 - 1], times[len(times) * 99 // 100 - 1]
    demo.show(f"  p50 {p50:.1f} ms, p99 {p99:.1f} ms; model, gateway and client share {os.cpu_count()} cores", "info")
    demo.check("every call was answered with 200", held=statuses == {200})
    demo.check("none of them reached Python in the gateway", held=demo.probe.checks() == before)


async def asleep_again(demo: Demo) -> None:
    """(e) Without calls the endpoint goes to sleep again."""
    demo.title(f"(e) No calls for {IDLE_AFTER}: asleep again")
    took = await demo.until("the endpoint to sleep", lambda: _is_asleep(demo), timeout_s=PATIENCE_S)
    demo.show(f"  asleep {took:.1f} s after the last call", "info")
    seen = await demo.probe.view(MINILM)
    demo.check("no model server is running, and the endpoint is still Ready", held=seen.ready is True)


async def _is_asleep(demo: Demo) -> bool:
    return (await demo.probe.view(MINILM)).state == "Asleep" and demo.probe.model_servers() == 0


def wrong_manifest(demo: Demo) -> None:
    """(f) A wrong manifest is refused with a line for each mistake."""
    demo.title("(f) A manifest with two mistakes: what `nightlatch up` prints")
    manifest = demo.directory / "wrong.yaml"
    manifest.write_text(manifests.broken(demo.model))
    ended = subprocess.run(
        _command(manifest, demo.directory / "unused"), capture_output=True, text=True, timeout=60, check=False
    )
    for line in ended.stderr.rstrip().splitlines():
        demo.show(f"  {line}", "info")
    named = "scalling" in ended.stderr and "idleAfter" in ended.stderr
    demo.check("both mistakes are named, nothing was started, exit status 2", held=named and ended.returncode == 2)
