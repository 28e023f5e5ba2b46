"""`nightlatch up`: puts together store, controller, gateways, watched manifests and printed status.

Starting: first come the checks that may fail (manifests, directory, lock, ports), then the processes that a killed
`up` left behind are ended, then new ones start. Stopping: first the gateways, then the model servers.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.issuer_keys.addresses import LOOPBACK
from nightlatch.embedded import lock, ports, stop, supervise
from nightlatch.embedded.console.lines import Line
from nightlatch.embedded.console.printer import Say, StatusPrinter
from nightlatch.embedded.control import Control
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.gateway import Gateway
from nightlatch.embedded.layout import Layout
from nightlatch.embedded.manifests import documents
from nightlatch.embedded.manifests.apply import Applied, apply
from nightlatch.embedded.manifests.claims import bound
from nightlatch.embedded.manifests.trust import CA_FILES, keep_ca, keep_trust
from nightlatch.embedded.manifests.watch import edits
from nightlatch.gatekeeper.process import gate_module
from nightlatch.pki import PkiError
from nightlatch.planning.settings import Settings
from nightlatch.store.files.store import FilesStore

# The Secret of the CA that is brought.
BROUGHT_CA = "brought-ca"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `port` 0 means any free port; more gateways take the ports after it.

    claims: directories that stand in for PersistentVolumeClaims, by the claim's name. trust: files that stand in for
    Secrets of CAs. ca: the directory of a CA that is brought. callers_take: seconds that callers have to take a new CA.
    """

    files: tuple[Path, ...]
    state_dir: Path
    port: int
    gateways: int = 1
    claims: Mapping[str, Path] = field(default_factory=dict)
    trust: Mapping[NamespacedName, Path] = field(default_factory=dict)
    callers_take: float = 86400.0
    ca: Path | None = None


async def up(options: Options, say: Say) -> None:
    """Run until SIGINT or SIGTERM. Raises UserError if it cannot start."""
    _refuse_unusable_gate()
    watched = tuple(path.absolute() for path in options.files)
    declared = bound(documents.read(documents.expand(watched)), options.claims)
    _refuse(declared.problems)
    layout = Layout.at(options.state_dir)
    layout.create(options.gateways)
    with lock.exclusive(layout):
        for orphan in supervise.reap(layout.processes):
            say(Line(f"ended {orphan}, which an earlier `nightlatch up` left behind"))
        chosen = ports.choose(options.port, options.gateways)
        store = FilesStore(layout.root)
        await _keep_files(store, options)
        applied = await apply(store, declared, watched)
        _refuse(applied.problems)
        _report(applied, say)
        await _run(layout, store, chosen, options, say)


async def _keep_files(store: FilesStore, options: Options) -> None:
    await keep_trust(store, options.trust)
    await keep_ca(store, options.ca, NamespacedName(Settings("Embedded").operator_namespace, BROUGHT_CA))


def _refuse_unusable_gate() -> None:
    """Raise UserError if Envoy cannot use the gate."""
    try:
        gate_module.require_usable_gate(gate_module.envoy_binary())
    except gate_module.UnusableGateError as error:
        raise UserError(str(error), code=2) from error


def _refuse(problems: tuple[documents.ManifestProblem, ...]) -> None:
    """Unlike a later edit, a broken manifest at the start stops everything."""
    if problems:
        raise UserError("\n       ".join(map(str, problems)), "correct the manifest and start again", code=2)


def _report(applied: Applied, say: Say) -> None:
    for change in applied.changes:
        say(Line(f"{change.ref.kind} {change.ref.key} {change.verb}"))
    for problem in applied.problems:
        say(Line(f"error: {problem}\n  the last good version stays in effect; correct the file and save it", "bad"))
    for ref, file in applied.elsewhere:
        say(Line(f"{ref} from {file} is running as well; to delete it: nightlatch delete {ref.kind} {ref.key.name}"))


async def _run(layout: Layout, store: FilesStore, chosen: tuple[int, ...], options: Options, say: Say) -> None:
    stopped = asyncio.Event()
    supervisor = supervise.Supervisor(layout.processes, lambda text: say(Line(text, "bad")))
    settings = Settings(
        platform="Embedded",
        port=chosen[0],
        callers_take=timedelta(seconds=options.callers_take),
        # There are few leaves on a laptop.
        reissue_over=timedelta(seconds=2),
        brought_ca=BROUGHT_CA if options.ca else "",
        provider_networks=LOOPBACK,
    )
    gateways = tuple(Gateway(index, port, layout) for index, port in enumerate(chosen))
    control = Control(layout, store, settings, gateways)
    stop.on_signals(stopped, supervisor.kill)
    try:
        ended = await control.prepare()
    except PkiError as error:
        raise UserError(
            str(error), "correct the files of the CA, or start without --ca" if options.ca else ""
        ) from error
    if ended:
        say(Line(f"ended {ended} model servers, which an earlier `nightlatch up` left behind"))
    lock.announce(layout, chosen)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_stopped(stopped), name="stop")
            group.create_task(control.run(), name="control plane")
            group.create_task(StatusPrinter(store, layout, say).run(), name="console")
            group.create_task(_follow_edits(store, options, stopped, say), name="manifests")
            for gateway in gateways:
                group.create_task(_start(gateway, settings, supervisor), name=gateway.name)
    except* _StopRequested:
        say(Line("stopping"))
    finally:
        await supervisor.stop()
        await control.stop()


class _StopRequested(Exception):  # noqa: N818 - not an error
    """Ends the task group."""


async def _until_stopped(stopped: asyncio.Event) -> None:
    await stopped.wait()
    raise _StopRequested


async def _start(gateway: Gateway, settings: Settings, supervisor: supervise.Supervisor) -> None:
    """Start Envoy only once the gatekeeper listens: after a failed connection it would wait before it tries again."""
    gatekeeper, envoy = gateway.prepare(settings)
    supervisor.start(gatekeeper)
    while not gateway.files.socket.exists():
        await asyncio.sleep(0.02)
    supervisor.start(envoy)


async def _follow_edits(store: FilesStore, options: Options, stopped: asyncio.Event, say: Say) -> None:
    watched = tuple(path.absolute() for path in options.files)
    certificates = [options.ca / name for name in CA_FILES] if options.ca else []
    async for _ in edits((*watched, *options.trust.values(), *certificates), stopped):
        try:
            await _keep_files(store, options)
            files = documents.expand(path for path in watched if path.exists())
        except UserError as error:
            say(Line(f"error: {error.message}", "bad"))
            continue
        _report(await apply(store, bound(documents.read(files), options.claims), watched), say)
