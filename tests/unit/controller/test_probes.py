"""The operator's metrics have the names that dashboards ask for, and its health says when the leader hangs."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from nightlatch.controller.cluster.probes import STUCK_SECONDS, OperatorCollector, OperatorStats

STATS = OperatorStats(leading=True, heartbeat_age=1.0, waiting=3, reconciles=5, failures=2, states={"Awake": 4})


def test_every_metric_by_name():
    registry = CollectorRegistry(auto_describe=False)
    registry.register(OperatorCollector(lambda: STATS))
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "nightlatch_operator_leader 1.0",
        "nightlatch_operator_workqueue_depth 3.0",
        "nightlatch_operator_reconciles_total 5.0",
        "nightlatch_operator_reconcile_errors_total 2.0",
        'nightlatch_endpoints{state="Awake"} 4.0',
    ]


def test_only_a_leader_that_stopped_reconciling_is_unhealthy():
    assert STATS.alive
    assert replace(STATS, leading=False, heartbeat_age=None).alive
    assert not replace(STATS, heartbeat_age=STUCK_SECONDS).alive
