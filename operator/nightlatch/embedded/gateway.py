"""One gateway as two child processes: the gatekeeper and Envoy."""

import json
import os
import resource
import sys
from dataclasses import dataclass

from nightlatch.embedded.layout import GatewayLayout, Layout
from nightlatch.embedded.ports import HOST
from nightlatch.embedded.supervise import Child
from nightlatch.files import replace_file
from nightlatch.gatekeeper.process import gate_module
from nightlatch.planning.settings import Settings
from nightlatch.routing.limits import envoy_limits
from nightlatch.routing.xds.bootstrap import bootstrap

# How long a gateway keeps working with the configuration it has when the store stops answering.
MAX_STALENESS_S = 3600
MOST_WORKERS = 4


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway of this `up`."""

    index: int
    port: int
    layout: Layout

    @property
    def name(self) -> str:
        """The gateway's id in reports, such as `gateway-0`."""
        return f"gateway-{self.index}"

    @property
    def files(self) -> GatewayLayout:
        return self.layout.gateway(self.index)

    def prepare(self, settings: Settings) -> tuple[Child, Child]:
        """Write the configuration of both processes. Returns the gatekeeper and Envoy, in the order to start them."""
        files = self.files
        for left in (files.announce, files.socket, files.admin):
            left.unlink(missing_ok=True)
        replace_file(files.config, json.dumps(gatekeeper_config(self, settings), indent=1).encode())
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limits = envoy_limits(open_files=open_files)
        envoy_config = bootstrap(self.name, str(files.socket), str(files.admin), limits)
        replace_file(files.bootstrap, json.dumps(envoy_config, indent=1).encode())
        return self._gatekeeper(), self._envoy()

    def _gatekeeper(self) -> Child:
        command = (sys.executable, "-m", "nightlatch.gatekeeper", "--config", str(self.files.config))
        return Child(f"gatekeeper-{self.index}", command, self.files.gatekeeper_log, _python_path())

    def _envoy(self) -> Child:
        command = (
            str(gate_module.envoy_binary()),
            "--config-path",
            str(self.files.bootstrap),
            "--concurrency",
            str(min(os.cpu_count() or 1, MOST_WORKERS)),
            "--log-level",
            "warning",
            "--disable-hot-restart",
            # The audit log appears within a second.
            "--file-flush-interval-msec",
            "1000",
        )
        return Child(f"envoy-{self.index}", command, self.files.envoy_log, gate_module.environment())


def gatekeeper_config(gateway: Gateway, settings: Settings) -> dict[str, object]:
    """The file that `python -m nightlatch.gatekeeper --config` reads."""
    return {
        "gateway": gateway.name,
        "gateway_namespace": settings.gateway_namespace,
        "trust_domain": settings.trust_domain,
        "store": {"kind": "files", "directory": str(gateway.layout.root)},
        "workloads": {"kind": "processes", "directory": str(gateway.layout.workloads)},
        "socket": str(gateway.files.socket),
        "listen": {"host": HOST, "port": gateway.port},
        "report": {"host": HOST, "port": 0},
        "announce": str(gateway.files.announce),
        "max_staleness_s": MAX_STALENESS_S,
        "metrics": {"host": HOST, "port": 0},
        "audit": {"file": str(gateway.files.audit_log), "refusals_per_second": 100, "allows_percent": 0},
    }


def _python_path() -> dict[str, str]:
    """Lets child processes import what this process can, also from a checkout that is not installed."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
