"""The lower limit of a wake: the model server that `up` starts, by hand, called over mTLS without a gateway."""

import base64
import contextlib
import http.client
import json
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from awake import Caller, Stage

from nightlatch.api.meta import SECRET
from nightlatch.api.names import DEFAULT_GATEWAY_NAMESPACE, GATEWAY_CLIENT_TLS_SECRET
from nightlatch.embedded.demo.probe import MODEL_SERVER
from nightlatch.pki.material import CA_CRT, TLS_CRT, TLS_KEY
from nightlatch.store.files.store import FilesStore

_POLL_S = 0.005
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class ServerStart:
    """One start, in milliseconds: until its ports are open, then until it is ready, then its first answer."""

    ports: float
    ready: float
    call: float

    @property
    def total(self) -> float:
        """From the start of the process to the first answer."""
        return self.ports + self.ready + self.call


@dataclass(frozen=True, slots=True)
class Floor:
    """How to start it. context: the gateway's own client certificate."""

    command: Sequence[str]
    environment: Mapping[str, str]
    context: ssl.SSLContext

    def caller(self, address: tuple[str, int]) -> Caller:
        """A connection straight to a model server."""
        return Caller(http.client.HTTPSConnection(*address, timeout=_PATIENCE_S, context=self.context), None)

    def start(self) -> ServerStart:
        """Start one, call it, end it."""
        with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
            announce = Path(folder) / "announce"
            command = _replaced(self.command, "--announce", announce)
            began = time.perf_counter()
            process = subprocess.Popen(
                _replaced(command, "--termination-message", Path(folder) / "ended"),
                env=dict(self.environment),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                return self._timed(announce, began)
            finally:
                process.kill()
                process.wait()

    def _timed(self, announce: Path, began: float) -> ServerStart:
        while not announce.exists():
            _pause(began)
        opened = time.perf_counter()
        address = ("127.0.0.1", int(json.loads(announce.read_bytes())["port"]))
        while not self._ready(address):
            _pause(began)
        ready = time.perf_counter()
        status, _ = self.caller(address).embed()
        if status != 200:
            raise RuntimeError(f"the model server answered {status}")
        answered = time.perf_counter()
        return ServerStart((opened - began) * 1000, (ready - opened) * 1000, (answered - ready) * 1000)

    def _ready(self, address: tuple[str, int]) -> bool:
        connection = http.client.HTTPSConnection(*address, timeout=_PATIENCE_S, context=self.context)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        return False


async def floor(here: Stage) -> Floor:
    """The command line and environment of the model server that runs now, and what it needs to be called."""
    running = next(each for each in here.probe.processes() if MODEL_SERVER in " ".join(each.cmdline()))
    return Floor(running.cmdline(), _environment(running), await _gateway_context(here))


def _environment(process: psutil.Process) -> dict[str, str]:
    return dict(process.environ())


async def _gateway_context(here: Stage) -> ssl.SSLContext:
    store = FilesStore(here.layout.root, read_only=True)
    secret = await store.get(SECRET, DEFAULT_GATEWAY_NAMESPACE, GATEWAY_CLIENT_TLS_SECRET)
    data = {name: base64.b64decode(value) for name, value in secret["data"].items()}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Its identity is a URI; there is no host name to check.
    context.check_hostname = False
    context.load_verify_locations(cadata=data[CA_CRT].decode())
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(data[TLS_CRT] + b"\n" + data[TLS_KEY])
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _replaced(command: Sequence[str], option: str, value: Path) -> list[str]:
    """The same command with another value of one option."""
    at = command.index(option)
    return [*command[: at + 1], str(value), *command[at + 2 :]]


def _pause(began: float) -> None:
    if time.perf_counter() - began > _PATIENCE_S:
        raise TimeoutError("the model server that was started by hand does not come up")
    time.sleep(_POLL_S)
