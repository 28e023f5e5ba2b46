"""`python -m nightlatch.gatekeeper.process.write_bootstrap`: writes the configuration of a pod's Envoy."""

import argparse
import logging
import resource
import sys
from pathlib import Path

import orjson

from nightlatch.gatekeeper.process.config import ConfigError, read_config
from nightlatch.gatekeeper.process.gate_module import UnusableGateError, envoy_binary, require_usable_gate
from nightlatch.logs import log_to_stderr
from nightlatch.routing.limits import DEFAULT_MEMORY, envoy_limits
from nightlatch.routing.xds.bootstrap import bootstrap


def main() -> int:
    """Exit status 0, or 2 if the configuration or the gate cannot be used.

    A pod runs this before Envoy, from the same image, so this is where the pod stops if Envoy and the gate do not fit.
    """
    parser = argparse.ArgumentParser(prog="python -m nightlatch.gatekeeper.process.write_bootstrap")
    parser.add_argument("--config", type=Path, required=True, help="the gatekeeper's configuration file")
    parser.add_argument("--admin-socket", type=Path, required=True, help="where Envoy's own admin interface goes")
    parser.add_argument("--output", type=Path, required=True, help="the file to write, for envoy --config-path")
    parser.add_argument(
        "--envoy-memory", type=int, default=DEFAULT_MEMORY, help="bytes that Envoy may use; default: %(default)s"
    )
    arguments = parser.parse_args()
    log_to_stderr()
    try:
        config = read_config(arguments.config)
        require_usable_gate(envoy_binary())
    except (ConfigError, UnusableGateError) as error:
        logging.getLogger("nightlatch.gatekeeper").error("cannot write the bootstrap", extra={"error": str(error)})  # noqa: TRY400
        return 2
    # Envoy's container has the same limit of open files as this one.
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = envoy_limits(arguments.envoy_memory, open_files, config.max_connections)
    content = bootstrap(config.gateway, config.socket, arguments.admin_socket, limits)
    arguments.output.write_bytes(orjson.dumps(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
