"""`nightlatch up`, put together: store, workloads, controller, gateways, watched manifests, and what is told of them.

One order at the start: everything that may refuse comes first (manifests, directory, lock, ports), then what a killed
predecessor left is ended, then processes start. One order at the end: gateways, then model servers.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nightlatch.embedded import lock, ports, stop, supervise
from nightlatch.embedded.console.lines import Line
from nightlatch.embedded.console.printer import Say, Storyteller
from nightlatch.embedded.control import Control
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.gateway import Gateway
from nightlatch.embedded.layout import Layout
from nightlatch.embedded.manifests import documents
from nightlatch.embedded.manifests.apply import Outcome, apply
from nightlatch.embedded.manifests.claims import bound
from nightlatch.embedded.manifests.watch import edits
from nightlatch.planning.settings import Settings
from nightlatch.store.files.store import FilesStore


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `port` 0: any free one. Gateways beyond the first take the next ports.

    claims: directories that stand for PersistentVolumeClaims, by name.
    """

    files: tuple[Path, ...]
    state_dir: Path
    port: int
    gateways: int = 1
    claims: Mapping[str, Path] = field(default_factory=dict)


async def up(options: Options, say: Say) -> None:
    """Run until SIGINT or SIGTERM. Raises UserError when it cannot start."""
    watched = tuple(path.absolute() for path in options.files)
    declared = bound(documents.read(documents.expand(watched)), options.claims)
    _refuse(declared.problems)
    layout = Layout.at(options.state_dir)
    layout.create(options.gateways)
    with lock.exclusive(layout):
        for orphan in supervise.reap(layout.processes):
            say(Line(f"ended {orphan}, left behind by a predecessor that was killed"))
        chosen = ports.choose(options.port, options.gateways)
        store = FilesStore(layout.root)
        outcome = await apply(store, declared, watched)
        _refuse(outcome.problems)
        _tell(outcome, say)
        await _run(layout, store, chosen, options, say)


def _refuse(problems: tuple[documents.Problem, ...]) -> None:
    """At the start a broken manifest is refused whole."""
    if problems:
        raise UserError("\n       ".join(map(str, problems)), "correct the manifest and start again", code=2)


def _tell(outcome: Outcome, say: Say) -> None:
    for change in outcome.changes:
        say(Line(f"{change.ref.kind} {change.ref.key} {change.verb}"))
    for problem in outcome.problems:
        say(Line(f"error: {problem}\n  what worked before goes on; save the file again once it is corrected", "bad"))
    for ref, file in outcome.elsewhere:
        say(Line(f"{ref} also runs, from {file}; to end it: nightlatch delete {ref.kind} {ref.key.name}"))


async def _run(layout: Layout, store: FilesStore, chosen: tuple[int, ...], options: Options, say: Say) -> None:
    stopped = asyncio.Event()
    supervisor = supervise.Supervisor(layout.processes, lambda text: say(Line(text, "bad")))
    settings = Settings(platform="Embedded", port=chosen[0])
    gateways = tuple(Gateway(index, port, layout) for index, port in enumerate(chosen))
    control = Control(layout, store, settings, gateways)
    stop.on_signals(stopped, supervisor.kill)
    if ended := await control.prepare():
        say(Line(f"ended {ended} model servers, left behind by a predecessor that was killed"))
    lock.announce(layout, chosen)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_stopped(stopped), name="stop")
            group.create_task(control.run(), name="control plane")
            group.create_task(Storyteller(store, layout, say).run(), name="storyteller")
            group.create_task(_follow_edits(store, options, stopped, say), name="manifests")
            for gateway in gateways:
                group.create_task(_start(gateway, settings, supervisor), name=gateway.name)
    except* _StopAsked:
        say(Line("stopping"))
    finally:
        await supervisor.stop()
        await control.stop()


class _StopAsked(Exception):  # noqa: N818 - no error
    """The way out of the task group."""


async def _until_stopped(stopped: asyncio.Event) -> None:
    await stopped.wait()
    raise _StopAsked


async def _start(gateway: Gateway, settings: Settings, supervisor: supervise.Supervisor) -> None:
    """Envoy follows once the gatekeeper listens, or it would back off from a socket that is not there yet."""
    gatekeeper, envoy = gateway.prepare(settings)
    supervisor.start(gatekeeper)
    while not gateway.files.socket.exists():
        await asyncio.sleep(0.02)
    supervisor.start(envoy)


async def _follow_edits(store: FilesStore, options: Options, stopped: asyncio.Event, say: Say) -> None:
    watched = tuple(path.absolute() for path in options.files)
    async for _ in edits(watched, stopped):
        try:
            files = documents.expand(path for path in watched if path.exists())
        except UserError as error:
            say(Line(f"error: {error.message}", "bad"))
            continue
        _tell(await apply(store, bound(documents.read(files), options.claims), watched), say)
