"""The paths in a state directory, and its creation. Directories have mode 0700, files 0600."""

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
    """The files of one gateway."""

    directory: Path

    @property
    def config(self) -> Path:
        """The gatekeeper's configuration."""
        return self.directory / "gatekeeper.json"

    @property
    def bootstrap(self) -> Path:
        """Envoy's bootstrap configuration."""
        return self.directory / "envoy.json"

    @property
    def socket(self) -> Path:
        """The socket on which the gatekeeper serves Envoy."""
        return self.directory / "ads.sock"

    @property
    def admin(self) -> Path:
        """The socket of Envoy's admin interface."""
        return self.directory / "admin.sock"

    @property
    def announce(self) -> Path:
        """The file in which the gatekeeper writes the ports that it listens on."""
        return self.directory / "announce.json"

    @property
    def gatekeeper_log(self) -> Path:
        return self.directory / "gatekeeper.log"

    @property
    def envoy_log(self) -> Path:
        return self.directory / "envoy.log"

    @property
    def audit_log(self) -> Path:
        """One line of JSON for each refused call."""
        return self.directory / "audit.log"


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """What a client has as files; some of them may not be there (yet)."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def key(self) -> str | None:
        """The API key."""
        path = self.directory / "api-key"
        return path.read_text().strip() if path.exists() else None

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The certificate and its private key."""
        certificate, key = self.directory / "tls.crt", self.directory / "tls.key"
        return (certificate, key) if certificate.exists() and key.exists() else None


@dataclass(frozen=True, slots=True)
class Layout:
    """A state directory. `root` is absolute."""

    root: Path

    @classmethod
    def at(cls, directory: Path) -> "Layout":
        """The layout of a directory, which need not exist yet."""
        return cls(directory.absolute())

    @property
    def lock(self) -> Path:
        """Locked while an `up` runs on this directory."""
        return self.root / "up.lock"

    @property
    def running(self) -> Path:
        """Process id and ports of the `up` that runs on this directory, for the other commands."""
        return self.root / "up.json"

    @property
    def processes(self) -> Path:
        """One record for each child process, so that the next `up` can end those that a killed one left behind."""
        return self.root / "processes"

    @property
    def workloads(self) -> Path:
        """Files of the model servers."""
        return self.root / "workloads"

    @property
    def logs(self) -> Path:
        """The log of `up` itself."""
        return self.root / "logs"

    @property
    def clients(self) -> Path:
        """One directory for each InferenceClient, with its key, URL and CA as files."""
        return self.root / "clients"

    def client(self, key: NamespacedName) -> Path:
        """The directory of one client. Namespaces contain no dots, so two clients never share one."""
        return self.clients / f"{key.namespace}.{key.name}"

    def credentials(self, key: NamespacedName) -> ClientFiles:
        """The files of one client."""
        return ClientFiles(self.client(key))

    def gateway(self, index: int) -> GatewayLayout:
        return GatewayLayout(self.root / "gateways" / str(index))

    def create(self, gateways: int) -> None:
        """Create the directories. Raises UserError or StateDirectoryError if that is not possible."""
        too_long = len(os.fsencode(self.gateway(gateways - 1).admin)) - MAX_SOCKET_PATH
        if too_long > 0:
            raise UserError(
                f"the state directory's path is {too_long} bytes too long for a Unix socket: {self.root}",
                "choose a shorter one with --state-dir",
            )
        prepared(self.root)
        ours = [self.processes, self.workloads, self.logs, self.clients]
        for directory in ours + [self.gateway(index).directory for index in range(gateways)]:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
