"""What a gateway's /metrics say of its Envoy."""

import asyncio
import contextlib
import socket
import ssl

from tests.embedded.gatekeeper_lab import KEY, Lab, eventually, infer, warm

HOST = f"{KEY.name}.{KEY.namespace}.localhost"


def dropped(lab: Lab) -> dict[str, float]:
    lines = (line for line in lab.gateways[0].metrics().splitlines() if line.startswith("nightlatch_gateway_audit_"))
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines}


def get_no_further(port: int, name: str, first: bytes) -> None:
    """A caller that sends this, or a handshake that fails, because it trusts nobody."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain, contextlib.suppress(OSError):
        if not first:
            ssl.create_default_context().wrap_socket(plain, server_hostname=name)
        plain.sendall(first)
        plain.recv(1)


async def test_refusals_without_a_line_in_the_audit_log_are_counted(tmp_path) -> None:
    audit = {"file": str(tmp_path / "audit.log"), "refusals_per_second": 2, "allows_percent": 0}
    async with warm(Lab(tmp_path, audit=audit)) as lab:
        assert dropped(lab) == dict.fromkeys(("rate", "overload", "accept_rate", "handshake", "http2"), 0.0)
        async with lab.client() as client:
            answers = [(await infer(client, **{"x-api-key": "wrong"})).status_code for _ in range(20)]
        assert set(answers) == {401}
        assert 1 <= dropped(lab)["rate"] <= 18
        await asyncio.to_thread(get_no_further, lab.gateways[0].port, HOST, b"")
        await eventually(lambda: dropped(lab)["handshake"] == 1, "it is counted")
        before = dropped(lab)["rate"]
        for _ in range(20):
            await asyncio.to_thread(get_no_further, lab.gateways[0].port, HOST, b"GET / HTTP/1.1\r\n\r\n")
        await eventually(lambda: dropped(lab)["rate"] >= before + 10, "those are counted that have no line")
        lab.gateways[0].kill(lab.gateways[0].envoy)
        assert dropped(lab) == {}
        assert "nightlatch_gateway_checks_total" in lab.gateways[0].metrics()
