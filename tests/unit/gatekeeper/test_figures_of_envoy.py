"""The gateway's metrics repeat what Envoy says of refusals without a line and of issuers that the gate cannot use."""

from prometheus_client import CollectorRegistry, generate_latest

from nightlatch.gatekeeper.process.envoy_counters import read_figures
from nightlatch.gatekeeper.process.metrics import GatewayCollector
from nightlatch.gatekeeper.stats import EnvoyFigures, GatewayStats

STATS = """\
dynamicmodulescustom.audit_dropped: 3
dynamicmodulescustom.issuer_refused.issuer.ids/bad: 1
dynamicmodulescustom.issuer_refused.issuer.ids/good: 0
http2.rx_messaging_error: 2
listener.127.0.0.1_8443.dynamicmodulescustom.audit_dropped: 4
listener.127.0.0.1_8443.ssl.connection_error: 5
listener_local_ratelimit.callers.rate_limited: 6
"""
QUIET = GatewayStats((), 1, 0, 0, 0, 0, 0, False, 0.0, False, False, False, False)


def told(envoy: EnvoyFigures) -> list[str]:
    """What /metrics says, of what Envoy was asked for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(GatewayCollector(QUIET, envoy))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if line.startswith(("nightlatch_gateway_audit_", "nightlatch_gateway_issuer_"))]


def test_an_issuer_that_the_gate_cannot_use_is_in_the_metrics() -> None:
    assert read_figures(STATS).refused_issuers == {"ids/bad": True, "ids/good": False}
    assert told(read_figures(STATS))[-2:] == [
        'nightlatch_gateway_issuer_refused{issuer="ids/bad"} 1.0',
        'nightlatch_gateway_issuer_refused{issuer="ids/good"} 0.0',
    ]


def test_refusals_without_a_line_are_summed_by_their_reason() -> None:
    assert read_figures(STATS).unlogged == {"rate": 7, "overload": 0, "accept_rate": 6, "handshake": 5, "http2": 2}


def test_nothing_is_told_of_an_envoy_that_does_not_answer() -> None:
    assert told(EnvoyFigures()) == []
