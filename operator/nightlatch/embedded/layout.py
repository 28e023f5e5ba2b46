"""Where everything lies in a state directory, and the making of it (directories 0700, files 0600)."""

import os
from dataclasses import dataclass
from pathlib import Path

from nightlatch.api.meta import NamespacedName
from nightlatch.embedded.errors import UserError
from nightlatch.store.files.state_directory import prepared

DEFAULT_DIRECTORY = Path(".nightlatch")

# sockaddr_un.sun_path: 108 bytes with its final NUL on Linux, 104 on macOS; take the smaller.
MAX_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class GatewayLayout:
    """One gateway's files."""

    directory: Path

    @property
    def config(self) -> Path:
        """What the gatekeeper reads."""
        return self.directory / "gatekeeper.json"

    @property
    def bootstrap(self) -> Path:
        """What Envoy reads."""
        return self.directory / "envoy.json"

    @property
    def socket(self) -> Path:
        """ADS, LRS and ext_authz."""
        return self.directory / "ads.sock"

    @property
    def admin(self) -> Path:
        """Envoy's admin interface."""
        return self.directory / "admin.sock"

    @property
    def announce(self) -> Path:
        """Where the gatekeeper says on which ports it listens."""
        return self.directory / "announce.json"

    @property
    def gatekeeper_log(self) -> Path:
        """The gatekeeper's output."""
        return self.directory / "gatekeeper.log"

    @property
    def envoy_log(self) -> Path:
        """Envoy's output."""
        return self.directory / "envoy.log"


@dataclass(frozen=True, slots=True)
class Layout:
    """A state directory, by absolute path."""

    root: Path

    @classmethod
    def at(cls, directory: Path) -> "Layout":
        """The layout of a directory that may not exist yet."""
        return cls(directory.absolute())

    @property
    def lock(self) -> Path:
        """Held by the one `up` that runs here."""
        return self.root / "up.lock"

    @property
    def running(self) -> Path:
        """Process id and port of the `up` that runs here, for the other commands."""
        return self.root / "up.json"

    @property
    def processes(self) -> Path:
        """One record for each child process, so that a successor can end orphans."""
        return self.root / "processes"

    @property
    def workloads(self) -> Path:
        """The model servers' own."""
        return self.root / "workloads"

    @property
    def logs(self) -> Path:
        """Logs of `up` itself and of commands that failed."""
        return self.root / "logs"

    @property
    def clients(self) -> Path:
        """Key, URL and CA of each InferenceClient, as files."""
        return self.root / "clients"

    def client(self, key: NamespacedName) -> Path:
        """One client's files; a namespace holds no dot, so two keys never meet."""
        return self.clients / f"{key.namespace}.{key.name}"

    def gateway(self, index: int) -> GatewayLayout:
        """One gateway's files."""
        return GatewayLayout(self.root / "gateways" / str(index))

    def create(self, gateways: int) -> None:
        """Make the directories. Raises UserError or StateDirectoryError, saying what to do, when that cannot be."""
        too_long = len(os.fsencode(self.gateway(gateways - 1).admin)) - MAX_SOCKET_PATH
        if too_long > 0:
            raise UserError(
                f"the state directory's path is {too_long} bytes too long for a Unix socket: {self.root}",
                "give a shorter one with --state-dir",
            )
        prepared(self.root)
        ours = [self.processes, self.workloads, self.logs, self.clients]
        for directory in ours + [self.gateway(index).directory for index in range(gateways)]:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
