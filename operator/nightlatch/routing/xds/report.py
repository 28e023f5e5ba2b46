"""The listener on a unix socket where the gatekeeper asks the gate what it knows. It is part of the bootstrap."""

from pathlib import Path
from typing import Any

from nightlatch.routing.filter_order import router
from nightlatch.routing.xds.native_module import report
from nightlatch.routing.xds.types import EXTENSIONS

_NAME = "gate-report"


def report_socket(gatekeeper: Path | str) -> Path:
    """Beside the gatekeeper's own socket."""
    return Path(gatekeeper).with_name("gate.sock")


def report_listener(socket: Path) -> dict[str, Any]:
    """One HTTP listener whose every answer is the gate's report."""
    nowhere = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    manager = {
        "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": _NAME,
        "route_config": {"virtual_hosts": [{"name": _NAME, "domains": ["*"], "routes": [nowhere]}]},
        "http_filters": [report(), router()],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": _NAME,
        "address": {"pipe": {"path": str(socket), "mode": 0o600}},
        "filter_chains": [{"filters": filters}],
        "bypass_overload_manager": True,
    }
