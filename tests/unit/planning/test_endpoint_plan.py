"""plan_endpoint(): what an endpoint needs, when its document changes, and what its conditions say."""

from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch import api_keys
from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.api_keys import unix_seconds
from nightlatch.planning.endpoint.plan import plan_endpoint
from nightlatch.planning.inputs import CAView, HostClaim
from nightlatch.planning.plan import EnsureWorkload, IssueLeaf, PutSecret
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime
from nightlatch.wire import route_document as routing
from nightlatch.wire.report import ModelReport, Tensor, WakeFailure, WakeReport
from tests.unit.planning.scene import (
    ISSUING_CA,
    NOW,
    SETTINGS,
    client,
    endpoint,
    foreign,
    found,
    held,
    issued,
)

DOCUMENT = NamespacedName(SETTINGS.gateway_namespace, names.route_document(NamespacedName("search", "minilm")))


def kinds(planned):
    return [type(action).__name__ for action in planned.apply]


def put_of(planned):
    return next((action for action in planned.apply if isinstance(action, PutSecret)), None)


def documented(subject, observed, now=NOW):
    """Observed once the planned document is there."""
    action = put_of(plan_endpoint(subject, observed, now))
    return replace(observed, document=found(action.target, action.data, version="7"))


def document_in(planned):
    action = put_of(planned)
    return routing.decode(action.data) if action else None


def conditions(subject, observed, now=NOW):
    planned = plan_endpoint(subject, observed, now)
    status = planned.status or subject.status
    return {each.type: (each.status, each.reason, each.message) for each in status.conditions}


def with_status(subject, observed, now=NOW):
    return replace(subject, status=plan_endpoint(subject, observed, now).status)


def test_first_the_leaves_are_asked_for_then_document_and_workload_follow():
    subject = endpoint()
    first = plan_endpoint(subject, issued(subject, server_tls=None, upstream_tls=None), NOW)
    assert kinds(first) == ["IssueLeaf", "IssueLeaf"]
    assert first.requeue_after == 0
    second = plan_endpoint(subject, issued(subject), NOW)
    assert kinds(second) == ["PutSecret", "EnsureWorkload"]
    assert 15 * 3600 < second.requeue_after <= 16.1 * 3600


def test_no_private_key_is_in_a_plans_repr():
    subject = endpoint()
    assert "PRIVATE KEY" not in repr(plan_endpoint(subject, issued(subject, clients=(held(),)), NOW))


def test_the_document_holds_the_hash_and_permissions_of_each_client_that_names_the_endpoint():
    subject, view = endpoint(), held(client(endpoints=({"name": "minilm", "permissions": ["infer"]},)))
    document = document_in(plan_endpoint(subject, issued(subject, clients=(view,)), NOW))
    assert [(grant.sha256, grant.permissions) for grant in document.keys] == [(view.keys[0].sha256, ("infer",))]
    assert document.upstream_identity == "spiffe://nightlatch.local/ns/search/ie/minilm"


def test_a_document_is_written_again_only_when_it_says_something_else():
    subject = endpoint()
    observed = documented(subject, issued(subject))
    assert kinds(plan_endpoint(subject, observed, NOW)) == ["EnsureWorkload"]
    before = routing.decode(observed.document.data).sequence
    changed = plan_endpoint(subject, replace(observed, clients=(held(),)), NOW)
    assert document_in(changed).sequence == before + 1
    assert put_of(changed).replaces == observed.document.revision


def test_the_sequence_never_goes_back_even_over_a_deletion():
    subject = endpoint()
    first = document_in(plan_endpoint(subject, issued(subject), NOW)).sequence
    assert document_in(plan_endpoint(subject, issued(subject), NOW + timedelta(seconds=1))).sequence > first


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (held(client(suspend=True)), "suspended"),
        (held(client(endpoints=({"name": "other"},))), "names another"),
        (held(client(namespace="elsewhere", endpoints=({"name": "minilm", "namespace": "search"},))), "not let in"),
        (held(client(apiKey={"revokedKeyIds": [held().keys[0].key_id]})), "revoked"),
        (replace(held(), keys=()), "no key"),
    ],
)
def test_who_may_not_is_not_in_the_document(view, reason):
    subject = endpoint()
    assert document_in(plan_endpoint(subject, issued(subject, clients=(view,)), NOW)).keys == (), reason


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"requestTimeout": "soon"}, id="an unreadable spec"),
        pytest.param({"scaling": {"idle": "Standby"}}, id="an unsupported spec"),
    ],
)
def test_a_typo_in_an_endpoint_takes_no_key_from_a_client_of_another_namespace(broken):
    access = {"apiKey": {}, "allowedNamespaces": {"from": "Names", "names": ["elsewhere"]}}
    named = ({"name": "minilm", "namespace": "search"},)
    views = (held(client(namespace="elsewhere", endpoints=named)),)
    stranger = held(client(namespace="third", uid="uid-t", endpoints=named), api_keys.mint(lambda size: b"t" * size))
    good = endpoint(access=access)
    observed = documented(good, issued(good, clients=views))
    edited = endpoint(generation=2, access=access, **broken)
    planned = plan_endpoint(edited, replace(observed, clients=(*views, stranger)), NOW)
    assert put_of(planned) is None, "the document stays as it is"
    said = {each.type: each for each in planned.status.conditions}
    assert said["Accepted"].status == "False"
    assert said["CredentialsReady"].message == "1 client holds a key", "who was never let in does not count"


def test_an_allowed_namespace_is_let_in():
    subject = endpoint(access={"apiKey": {}, "allowedNamespaces": {"from": "Names", "names": ["elsewhere"]}})
    view = held(client(namespace="elsewhere", endpoints=({"name": "minilm", "namespace": "search"},)))
    assert len(document_in(plan_endpoint(subject, issued(subject, clients=(view,)), NOW)).keys) == 1


@pytest.mark.parametrize(
    ("own", "theirs", "tier"),
    [
        (None, None, None),
        ({"requests": 10}, None, (10, 1.0, 10)),
        (None, {"requests": 5, "per": "1m", "burst": 7}, (5, 60.0, 7)),
        ({"requests": 10, "burst": 20}, {"requests": 5, "burst": 50}, (5, 1.0, 20)),
        ({"requests": 10, "burst": 20}, {"requests": 5000, "burst": 5000}, (10, 1.0, 20)),
    ],
)
def test_a_clients_rate_limit_holds_within_the_endpoints(own, theirs, tier):
    subject = endpoint(**({"rateLimit": own} if own else {}))
    view = held(client(**({"rateLimit": theirs} if theirs else {})))
    document = document_in(plan_endpoint(subject, issued(subject, clients=(view,)), NOW))
    chosen = document.rate_tiers.get(document.keys[0].tier)
    assert (chosen and (chosen.requests, chosen.per_seconds, chosen.burst)) == tier


def test_a_broken_spec_keeps_the_last_good_document_but_still_revokes():
    good = endpoint()
    observed = documented(good, issued(good, clients=(held(),)))
    broken = endpoint(generation=2, scaling={"idle": "Standby"})
    assert put_of(plan_endpoint(broken, observed, NOW)) is None
    accepted = conditions(broken, observed)["Accepted"]
    assert accepted[:2] == ("False", "NotYetSupported")
    assert "spec.scaling.idle" in accepted[2]
    assert "last good configuration stays" in accepted[2]
    revoked = document_in(plan_endpoint(broken, replace(observed, clients=()), NOW))
    assert revoked.keys == ()
    assert not [action for action in plan_endpoint(broken, observed, NOW).apply if isinstance(action, EnsureWorkload)]


def test_an_unreadable_spec_is_said_and_grants_nobody_anything_new():
    good = endpoint()
    observed = documented(good, issued(good))
    broken = endpoint(generation=2, requestTimeout="soon")
    assert broken.spec is None
    assert put_of(plan_endpoint(broken, replace(observed, clients=(held(),)), NOW)) is None
    assert conditions(broken, observed)["Accepted"][:2] == ("False", "Invalid")


def test_what_was_never_accepted_gets_nothing_made():
    broken = endpoint(scaling={"idle": "Standby"})
    observed = replace(issued(endpoint()), server_tls=None, upstream_tls=None)
    planned = plan_endpoint(broken, observed, NOW)
    assert (planned.apply, planned.scaling) == ((), None)
    # Not even a look again: what waits for another spec must not keep the operator busy.
    assert planned.requeue_after is None
    assert conditions(broken, observed)["WorkloadAvailable"][:2] == ("False", "NotAccepted")


def test_of_two_endpoints_that_claim_a_host_the_older_has_it():
    subject = endpoint(created="2026-01-02T00:00:00Z")
    first = unix_seconds("2026-01-01T00:00:00Z")
    claim = HostClaim(NamespacedName("search", "first"), first, ("minilm.search.localhost",))
    assert conditions(subject, issued(subject, host_claims=(claim,)))["Accepted"][:2] == ("False", "HostConflict")
    assert plan_endpoint(subject, issued(subject, host_claims=(claim,)), NOW).scaling is None
    younger = replace(claim, created=unix_seconds("2026-01-03T00:00:00Z"))
    assert conditions(subject, issued(subject, host_claims=(younger,)))["Accepted"][0] == "True"


@pytest.mark.parametrize("part", ["server_tls", "upstream_tls", "document"])
def test_a_secret_that_is_not_ours_is_kept_away_from(part):
    subject = endpoint()
    observed = issued(subject)
    stranger = foreign(DOCUMENT if part == "document" else getattr(observed, part).key)
    observed = replace(observed, **{part: stranger})
    planned = plan_endpoint(subject, observed, NOW)
    assert stranger.key not in [action.target.key for action in planned.apply if not isinstance(action, EnsureWorkload)]
    assert planned.delete == ()
    said = conditions(subject, observed)["Programmed" if part == "document" else "CertificatesReady"]
    assert said[:2] == ("False", "SecretConflict")


def test_children_of_an_earlier_object_of_the_name_are_deleted_first():
    old, new = endpoint(uid="uid-old"), endpoint(uid="uid-new")
    observed = documented(old, issued(old))
    planned = plan_endpoint(new, observed, NOW)
    assert {each.key for each in planned.delete} == {
        observed.document.key,
        observed.server_tls.key,
        observed.upstream_tls.key,
    }
    assert planned.apply == ()


def test_a_leaf_past_two_thirds_is_replaced_exactly_and_its_document_goes_on():
    subject = endpoint()
    observed = documented(subject, issued(subject))
    planned = plan_endpoint(subject, observed, NOW + timedelta(hours=17))
    issues = [action for action in planned.apply if isinstance(action, IssueLeaf)]
    assert [action.replaces for action in issues] == [observed.server_tls.revision, observed.upstream_tls.revision]
    assert conditions(subject, observed, NOW + timedelta(hours=17))["CertificatesReady"][0] == "True"


def test_an_expired_certificate_shows_and_never_takes_the_document_away():
    subject = endpoint()
    observed = documented(subject, issued(subject, clients=(held(),)))
    late = NOW + timedelta(hours=30)
    assert conditions(subject, observed, late)["CertificatesReady"][:2] == ("False", "CertificateExpired")
    assert document_in(plan_endpoint(subject, replace(observed, clients=()), late)).keys == ()


def test_a_new_issuing_ca_brings_new_leaves():
    subject = endpoint()
    observed = issued(subject, issuing_ca=CAView("00", ISSUING_CA.trust_pem))
    assert kinds(plan_endpoint(subject, observed, NOW)).count("IssueLeaf") == 2


def test_without_an_issuing_ca_nothing_is_issued_and_the_condition_says_so():
    subject = endpoint()
    observed = issued(subject, issuing_ca=None, server_tls=None, upstream_tls=None)
    assert plan_endpoint(subject, observed, NOW).apply == ()
    assert conditions(subject, observed)["CertificatesReady"][:2] == ("False", "IssuingCAPending")


def sequenced(observed, *, ahead=0, **runtime):
    sequence = routing.decode(observed.document.data).sequence
    return replace(observed, runtime=EndpointRuntime(applied={"g0": sequence, "g1": sequence + ahead}, **runtime))


@pytest.mark.parametrize(
    ("runtime", "condition", "expected"),
    [
        ({}, "Ready", ("True", "Ready")),
        ({}, "WorkloadAvailable", ("True", "Asleep")),
        ({"state": "Waking"}, "Ready", ("True", "Ready")),
        ({"state": "Draining"}, "Ready", ("True", "Ready")),
        ({"ahead": -1}, "Programmed", ("False", "GatewayBehind")),
        ({"nacks": {"g1": "no such cluster"}}, "Programmed", ("False", "GatewayRefused")),
        ({"disconnected": ("g2",)}, "Programmed", ("True", "GatewayDisconnected")),
        ({"failure": WakeFailure(1, "ModelNotFound", "no model")}, "Ready", ("False", "ModelNotFound")),
    ],
)
def test_conditions_follow_what_runs(runtime, condition, expected):
    subject = endpoint()
    observed = sequenced(documented(subject, issued(subject, clients=(held(),))), **runtime)
    assert conditions(subject, observed)[condition][:2] == expected


FORMATS = {"g0": routing.FORMAT, "g1": routing.FORMAT}


def reading(observed):
    """Both gateways have said what they read."""
    return replace(observed, runtime=EndpointRuntime(formats=FORMATS))


def condition(status, kind):
    return next(each for each in status.conditions if each.type == kind)


def edited(subject, observed, **spec):
    """The same endpoint after an edit, as the operator sees it first: gateways still have the document before."""
    known = plan_endpoint(subject, observed, NOW).status
    return replace(endpoint(generation=subject.metadata.generation + 1, **spec), status=known)


def test_during_an_edit_ready_stays_true_about_the_generation_before():
    subject = endpoint()
    observed = sequenced(documented(subject, reading(issued(subject, clients=(held(),)))), formats=FORMATS)
    edit = edited(subject, observed, requestTimeout="30s")

    seen = plan_endpoint(edit, observed, NOW).status
    assert seen.observed_generation == 2
    ready, programmed = condition(seen, "Ready"), condition(seen, "Programmed")
    assert (ready.status, ready.observed_generation) == ("True", 1)
    assert (programmed.status, programmed.reason, programmed.observed_generation) == ("False", "GatewayBehind", 2)
    assert (seen.gateways.members, seen.gateways.applied, seen.gateways.disconnected) == (2, 0, 0)

    written = documented(edit, observed)
    half = plan_endpoint(replace(edit, status=seen), sequenced(written, ahead=-1, formats=FORMATS), NOW).status
    assert (condition(half, "Ready").status, condition(half, "Ready").observed_generation) == ("True", 1)
    assert half.gateways.applied == 1

    done = plan_endpoint(replace(edit, status=half), sequenced(written, formats=FORMATS), NOW).status
    assert {(each.status, each.observed_generation) for each in done.conditions} == {("True", 2)}
    assert condition(done, "Ready").last_transition_time == condition(seen, "Ready").last_transition_time


def test_an_edit_that_mends_an_endpoint_is_not_ready_before_gateways_have_applied_it():
    subject = endpoint()
    observed = sequenced(documented(subject, issued(subject)))
    failed = replace(observed, runtime=replace(observed.runtime, failure=WakeFailure(1, "ModelServerExited", "no")))
    edit = edited(subject, observed, requestTimeout="30s")
    broken = plan_endpoint(edit, failed, NOW).status
    assert (condition(broken, "Ready").status, condition(broken, "Ready").observed_generation) == ("False", 2)
    mended = plan_endpoint(replace(edit, status=broken), observed, NOW).status
    assert (condition(mended, "Ready").status, condition(mended, "Ready").observed_generation) == ("True", 1)


def test_an_edit_that_changes_no_configuration_is_ready_at_once():
    subject = endpoint()
    observed = sequenced(documented(subject, issued(subject)))
    status = plan_endpoint(edited(subject, observed, scaling={"idleAfter": "1h"}), observed, NOW).status
    assert {(each.status, each.observed_generation) for each in status.conditions} == {("True", 2)}


def test_a_refused_edit_is_about_its_own_generation():
    subject = endpoint()
    observed = sequenced(documented(subject, issued(subject)))
    status = plan_endpoint(edited(subject, observed, scaling={"idle": "Standby"}), observed, NOW).status
    assert (condition(status, "Ready").status, condition(status, "Ready").observed_generation) == ("False", 2)


def test_an_endpoint_that_no_gateway_serves_yet_is_not_ready():
    subject = endpoint()
    observed = replace(documented(subject, issued(subject)), runtime=EndpointRuntime(applied={"g0": 0}))
    assert conditions(subject, observed)["Ready"][:2] == ("False", "GatewayBehind")


def test_a_gateway_that_joins_does_not_make_a_ready_endpoint_not_ready():
    subject = endpoint()
    observed = sequenced(documented(subject, issued(subject)))
    settled = with_status(subject, observed)
    joined = replace(observed, runtime=EndpointRuntime(applied={**observed.runtime.applied, "g2": 0}))
    status = plan_endpoint(settled, joined, NOW).status
    assert (condition(status, "Programmed").status, condition(status, "Programmed").reason) == (
        "False",
        "GatewayBehind",
    )
    assert (condition(status, "Ready").status, condition(status, "Ready").observed_generation) == ("True", 1)


def test_a_new_leader_keeps_what_was_true_until_it_has_heard_from_the_gateways():
    subject = endpoint()
    observed = sequenced(documented(subject, reading(issued(subject))), state="Awake", replicas=1, formats=FORMATS)
    settled = with_status(subject, observed)
    unheard = replace(observed, runtime=UNKNOWN_RUNTIME)
    assert plan_endpoint(settled, unheard, NOW + timedelta(hours=1)).status is None
    silent = replace(observed, runtime=EndpointRuntime(disconnected=("g0", "g1")))
    assert condition(plan_endpoint(settled, silent, NOW).status, "Ready").status == "False"


def test_an_edit_that_a_new_leader_sees_first_waits_for_the_gateways():
    subject = endpoint()
    observed = sequenced(documented(subject, issued(subject)))
    edit = edited(subject, observed, requestTimeout="30s")
    unheard = replace(observed, runtime=UNKNOWN_RUNTIME)
    status = plan_endpoint(edit, unheard, NOW).status
    assert (condition(status, "Ready").status, condition(status, "Ready").observed_generation) == ("True", 1)
    behind = plan_endpoint(edit, observed, NOW).status
    status = plan_endpoint(replace(edit, status=behind), unheard, NOW).status or behind
    assert (condition(status, "Ready").status, condition(status, "Ready").observed_generation) == ("True", 1)


def test_the_model_is_told_and_outlives_a_restart_of_the_operator():
    subject = endpoint()
    model = ModelReport(
        (Tensor("text", "BYTES", (-1,)),), (Tensor("embedding", "FP32", (-1, 384)),), "sha256:" + "0" * 64
    )
    told = with_status(subject, sequenced(documented(subject, issued(subject)), model=model))
    assert told.status.model.model_dump(by_alias=True) == {
        "signature": {
            "inputs": ({"name": "text", "datatype": "BYTES", "shape": (-1,)},),
            "outputs": ({"name": "embedding", "datatype": "FP32", "shape": (-1, 384)},),
        },
        "digest": "sha256:" + "0" * 64,
    }
    again = plan_endpoint(told, sequenced(documented(subject, issued(subject)), ahead=-1), NOW)
    assert again.status.model == told.status.model


def test_nobody_tells_before_a_gateway_reported():
    subject = endpoint()
    said = conditions(subject, documented(subject, issued(subject)))
    assert said["Programmed"][:2] == said["Ready"][:2] == ("Unknown", "NoGateway")


def test_an_endpoint_without_clients_is_ready_and_says_that_nobody_can_call():
    subject = endpoint()
    said = conditions(subject, sequenced(documented(subject, issued(subject))))
    assert said["CredentialsReady"][:2] == ("True", "NoClients")
    assert said["Ready"][0] == "True"


def test_more_than_one_replica_is_accepted_and_capped_aloud():
    subject = endpoint(scaling={"maxReplicas": 4})
    said = conditions(subject, issued(subject))
    assert said["Accepted"][:2] == ("True", "Accepted")
    assert said["ReplicasCapped"][:2] == ("True", "MaxReplicasCapped")


def test_a_platforms_refusal_is_in_the_condition():
    subject = endpoint()
    said = conditions(subject, issued(subject, workload_error="quota exceeded: ask for more"))
    assert said["WorkloadAvailable"] == ("False", "WorkloadRefused", "quota exceeded: ask for more")


def test_status_is_written_only_when_it_changed_and_is_about_its_generation():
    subject = endpoint(generation=3)
    observed = sequenced(documented(subject, issued(subject)))
    settled = with_status(subject, observed)
    assert settled.status.observed_generation == 3
    assert settled.status.url == "https://minilm.search.localhost:8443"
    assert settled.status.access == "apiKey"
    assert {entry.role for entry in settled.status.certificates} == {"server-tls", "upstream-tls"}
    assert plan_endpoint(settled, observed, NOW + timedelta(hours=1)).status is None


def test_transition_times_move_with_the_status_alone():
    subject = endpoint()
    observed = sequenced(documented(subject, issued(subject)))
    settled = with_status(subject, observed)
    later = NOW + timedelta(minutes=5)
    changed = with_status(settled, replace(observed, runtime=replace(observed.runtime, nacks={"g0": "no"})), later)
    times = {each.type: each.last_transition_time for each in changed.status.conditions}
    assert times["Accepted"] == "2026-03-01T12:00:00Z"
    assert times["Programmed"] == times["Ready"] == "2026-03-01T12:05:00Z"


def test_the_last_wake_is_told_and_outlives_a_restart_of_the_operator():
    subject = endpoint()
    wake = WakeReport(subject.key, NOW.timestamp(), {"start": 1200.4, "probe": 30.0})
    observed = sequenced(documented(subject, issued(subject)), last_wake=wake)
    woken = with_status(subject, observed)
    assert woken.status.last_wake.duration == "1230ms"
    again = plan_endpoint(woken, sequenced(documented(subject, issued(subject)), ahead=-1), NOW)
    assert again.status.last_wake == woken.status.last_wake


def test_a_document_that_no_gateway_would_take_is_never_written():
    subject = endpoint(scaling={"hold": {"timeout": "720h"}})
    observed = issued(subject)
    assert put_of(plan_endpoint(subject, observed, NOW)) is None
    assert conditions(subject, observed)["Programmed"][:2] == ("False", "InvalidConfiguration")


def test_a_copied_key_counts_for_one_client_alone():
    subject = endpoint()
    views = (held(client(name="bot")), held(client(name="thief", uid="uid-t")))
    document = document_in(plan_endpoint(subject, issued(subject, clients=views), NOW))
    assert [grant.client.name for grant in document.keys] == ["bot"]
