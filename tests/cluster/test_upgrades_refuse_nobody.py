"""`helm upgrade` and `helm rollback` between two releases that differ in the format of their documents refuse nobody.

The next release is this one with a format that is one higher, a member in the route documents that only this format can
say, and a member more in the messages of the report stream.
"""

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.wire.route_document import DOCUMENT_JSON, FORMAT
from tests.cluster.conftest import install, node
from tests.cluster.installation import GATEWAYS, SYSTEM, Caller, Installation, client, endpoint, eventually
from tools.images import buildah, inputs
from tools.images.building import built
from tools.images.inputs import COMMON, TARGETS
from tools.images.loading import load
from tools.node import record
from tools.node.paths import REPOSITORY, State
from tools.node.progress import Progress

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NEXT = FORMAT + 1
ANNOTATION = "nightlatch.test/audience"
MEMBER = f'    audience: str = field(default="", metadata={{"format": {NEXT}}})\n'
# What the next release changes: by file, texts and what follows them.
ADDED = {
    "wire/route_document.py": {
        "    denied: str | None = None\n    created: int = 0\n    takes_away_since: int = 0\n": MEMBER,
        '    fields_.default("max_in_flight", DEFAULT_IN_FLIGHT)\n': '    fields_.default("audience", "")\n',
        "            created=envelope.created,\n            takes_away_since=envelope.takes_away_since,\n": (
            '            audience=fields_.text("audience", _TIER, "a plain word"),\n'
        ),
    },
    "wire/report.py": {"    reads: int = route_document.FORMAT\n": '    flavour: str = "next"\n'},
    "planning/endpoint/document.py": {
        "        uid=endpoint.metadata.uid,\n": (
            f'        audience=endpoint.metadata.annotations.get("{ANNOTATION}", ""),\n'
        ),
    },
}
PAUSE = 0.05


@pytest.fixture(scope="module")
def next_release(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """References of the next release's images, in the cluster. Afterwards this release is installed again."""
    tree = tmp_path_factory.mktemp("next")
    _write_next(tree)
    state = State(installation.audit_log.parents[1])
    known = record.read(state.record)
    assert known
    references = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inputs, "REPOSITORY", tree)
        patched.setattr(buildah, "REPOSITORY", tree)
        for name in ("operator", "gateway"):
            image = built(name, Progress())
            load(state, known, image, (image.reference,), Progress())
            references.append(image.reference)
    assert not {*references} & {*installation.images}
    try:
        yield (*references, installation.images[2])
    finally:
        install(installation.kubeconfig, installation.images)


def _write_next(tree: Path) -> None:
    for name in {*COMMON, *TARGETS["operator"].paths, *TARGETS["gateway"].paths}:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, tree / name)
    for name, texts in ADDED.items():
        path = tree / "operator" / "nightlatch" / name
        code = path.read_text()
        for text, added in texts.items():
            assert text in code, f"{name} has changed: {text!r}"
            code = code.replace(text, text + added)
        path.write_text(code.replace(f"\nFORMAT = {FORMAT}\n", f"\nFORMAT = {NEXT}\n"))


class Load:
    """Steady calls to an endpoint that is awake, and to one that sleeps and must not be denied either."""

    def __init__(self, awake: Caller, asleep: Caller) -> None:
        self.answers: Counter[str] = Counter()
        self.asleep: Counter[str] = Counter()
        self._awake, self._asleep = awake, asleep
        self._stop = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """For as long as the block lasts."""
        async with asyncio.TaskGroup() as group:
            for calls_each in (1, 4, 4):
                group.create_task(self._call(calls_each))
            # Connections that stay, which a gateway that goes has to close in good order. Not HTTP/2: httpx fails the
            # call in flight when GOAWAY comes, although Envoy answers it.
            group.create_task(self._call(10**9))
            group.create_task(self._call(10**9))
            group.create_task(self._look())
            try:
                yield self
            finally:
                self._stop = True
                print(f"calls to the awake endpoint: {dict(self.answers)}; to the sleeping one: {dict(self.asleep)}")

    async def _call(self, calls_each: int) -> None:
        """`calls_each`: on one connection."""
        body = {"model": self._awake.model, "input": ["A cat sleeps."]}
        while not self._stop:
            async with self._awake.client() as http:
                for _ in range(calls_each):
                    await self._count(self.answers, lambda http=http: http.post("/v1/embeddings", json=body))
                    if self._stop:
                        break

    async def _look(self) -> None:
        """The client may not ask for metadata: 403, for which nobody wakes. A denied endpoint would answer 503."""
        while not self._stop:
            async with self._asleep.client() as http:
                await self._count(self.asleep, lambda http=http: http.get("/v1/models"))

    async def _count(self, counter: Counter[str], call: Callable[[], Any]) -> None:
        try:
            answer: httpx.Response = await call()
            bad = "" if answer.status_code in {200, 403} else f" {answer.text[:300]}"
            counter[f"{answer.status_code}{bad}"] += 1
        except httpx.HTTPError as error:
            counter[f"{type(error).__name__} {error}"] += 1
        await asyncio.sleep(PAUSE)

    def check(self, calls: int) -> None:
        """Nobody was refused, and there were so many calls at least."""
        assert set(self.answers) == {"200"}, self.answers
        assert set(self.asleep) == {"403"}, self.asleep
        assert self.answers["200"] > calls


@pytest.fixture
async def stage(
    installation: Installation, next_release: tuple[str, ...], request: pytest.FixtureRequest
) -> AsyncIterator[tuple[str, Load]]:
    """A namespace with `awake`, `asleep` and a client of both, and the load on them."""
    install(installation.kubeconfig, installation.images)
    await eventually(lambda: runs(installation, installation.images), "this release runs")
    namespace = installation.namespace(request.node.name.replace("_", "-")[:40].strip("-"))
    installation.apply(endpoint("awake", namespace, idle_after="1h"), endpoint("asleep", namespace))
    installation.apply(client("bot", namespace, "awake", "asleep"))
    for name in ("awake", "asleep"):
        installation.ready(name, namespace)
    load = Load(*(installation.caller("bot", name, namespace) for name in ("awake", "asleep")))
    assert (await installation.caller("bot", "awake", namespace).embed("wake")).status_code == 200
    yield namespace, load
    for name in ("awake", "asleep"):
        installation.delete("ie", name, namespace)


def roll_back(installation: Installation) -> None:
    """helm rollback to the release before, and wait until it is up."""
    command = [node("tool", "helm"), "--kubeconfig", installation.kubeconfig, "rollback", "nightlatch"]
    subprocess.run([*command, "--namespace", SYSTEM, "--wait", "--timeout=5m"], check=True)


def runs(installation: Installation, images: tuple[str, ...]) -> bool:
    """Whether these images are all that runs, terminating pods included."""
    pods = (installation.operator_pods(), installation.gateway_pods())
    return all(
        len(found) == 2 and {each["spec"]["containers"][0]["image"] for each in found} == {image}
        for found, image in zip(pods, images, strict=False)
    )


def document(installation: Installation, name: str, namespace: str) -> dict[str, Any]:
    """The route document that the gateways have."""
    found = installation.get("secret", names.route_document(NamespacedName(namespace, name)), GATEWAYS)
    assert found
    return json.loads(base64.b64decode(found["data"][DOCUMENT_JSON]))


def programmed(installation: Installation, name: str, namespace: str) -> tuple[str, str]:
    """Status and reason of the condition."""
    conditions = installation.status(name, namespace)["conditions"]
    return next((each["status"], each["reason"]) for each in conditions if each["type"] == "Programmed")


async def until_fine(installation: Installation, namespace: str, images: tuple[str, ...], format_: int) -> None:
    """These images run, documents have this format, and every condition is fine."""
    await eventually(lambda: runs(installation, images), f"{images} run")
    for name in ("awake", "asleep"):
        await eventually(
            lambda name=name: document(installation, name, namespace)["format"] == format_, f"format {format_}"
        )
        await eventually(
            lambda name=name: programmed(installation, name, namespace) == ("True", "Programmed"),
            f"{name} is programmed",
        )
        installation.ready(name, namespace)


async def test_an_upgrade_and_a_rollback_of_the_format_refuse_nobody(
    installation: Installation, next_release: tuple[str, ...], stage: tuple[str, Load]
) -> None:
    namespace, load = stage
    assert document(installation, "awake", namespace)["format"] == FORMAT
    async with load.running():
        await asyncio.to_thread(install, installation.kubeconfig, next_release)
        await until_fine(installation, namespace, next_release, NEXT)
        upgraded = load.answers.total()
        await asyncio.to_thread(roll_back, installation)
        await until_fine(installation, namespace, installation.images, FORMAT)
        print(f"upgrade: {upgraded} calls; rollback: {load.answers.total() - upgraded} calls")
    load.check(calls=200)


async def test_the_next_operator_beside_this_gateway_says_what_has_to_wait_for_the_upgrade(
    installation: Installation, next_release: tuple[str, ...], stage: tuple[str, Load]
) -> None:
    namespace, load = stage
    mixed = (next_release[0], *installation.images[1:])
    async with load.running():
        await asyncio.to_thread(install, installation.kubeconfig, mixed)
        await until_fine(installation, namespace, mixed, FORMAT)

        installation.kubectl("annotate", "ie", "awake", "-n", namespace, f"{ANNOTATION}=staff")
        await eventually(
            lambda: programmed(installation, "awake", namespace) == ("False", "GatewayTooOld"), "it has to wait"
        )
        assert document(installation, "awake", namespace)["format"] == FORMAT
        # What needs no newer format does not wait.
        installation.apply(client("late", namespace, "asleep"))
        late = await asyncio.to_thread(installation.caller, "late", "asleep", namespace)
        async with late.client() as http:
            assert (await http.get("/v1/models")).status_code == 403

        await asyncio.to_thread(install, installation.kubeconfig, next_release)
        await until_fine(installation, namespace, next_release, NEXT)
        assert document(installation, "awake", namespace)["body"]["audience"] == "staff"

        # Back over both, while a document says what this release cannot read.
        await asyncio.to_thread(install, installation.kubeconfig, installation.images)
        await until_fine(installation, namespace, installation.images, FORMAT)
    load.check(calls=200)
