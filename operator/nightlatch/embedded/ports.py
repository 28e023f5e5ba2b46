"""Chooses the ports of the gateways before anything starts."""

import socket

from nightlatch.embedded.errors import UserError

HOST = "127.0.0.1"


def check_free(port: int) -> None:
    """Raises UserError if `port` is in use or this user may not listen on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise UserError(f"no permission to listen on port {port}", "choose one above 1023 with --port") from None
        except OSError:
            raise UserError(
                f"port {port} on {HOST} is in use", "stop what is listening there, or choose another port with --port"
            ) from None


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that are not in use now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return tuple(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()


def choose(port: int, gateways: int) -> tuple[int, ...]:
    """One port for each gateway: `port` and the next ones, or any free ones if `port` is 0. Raises UserError."""
    if port == 0:
        return free_ports(gateways)
    ports = tuple(range(port, port + gateways))
    for each in ports:
        check_free(each)
    return ports
