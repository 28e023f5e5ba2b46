"""plan_installation(): which CAs and leaves are made, kept, replaced, or refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch import pki
from nightlatch.api import names
from nightlatch.pki.bundle import fingerprint
from nightlatch.planning.installation.certificates import (
    installation_leaves,
    installation_owner,
    issuing_secret,
    root_secret,
)
from nightlatch.planning.installation.ledger import Generation, Ledger
from nightlatch.planning.installation.ledger_secret import put_ledger
from nightlatch.planning.installation.plan import ObservedInstallation, plan_installation
from nightlatch.planning.plan import IssueLeaf, MergeSecret, MintCA, OwnedSecret, Owner, PutSecret, Revision, UseCA
from tests.unit.planning.scene import NOW, SETTINGS, foreign, found

ROOT = pki.new_root(now=NOW)
ISSUING = pki.new_issuing(ROOT, now=NOW)
LEAVES = installation_leaves(SETTINGS)
OPERATOR, GATEWAY_CLIENT, GATEWAY_SERVER = (leaf.key for leaf in LEAVES)
OWNER = installation_owner(SETTINGS)
MINT_ROOT, MINT_ISSUING, USE = ("mint", root_secret(SETTINGS)), ("mint", issuing_secret(SETTINGS)), ("use",)
PUT_LEDGER = ("put", names.TRUST_SECRET)
ISSUE_ALL = tuple(("issue", leaf.key) for leaf in LEAVES)
EMPTY = ObservedInstallation(SETTINGS)


def ca_secret(key, ca, *, data=None, owner=OWNER):
    target = OwnedSecret(key, names.ROLE_CA, owner, "kubernetes.io/tls")
    return found(target, data or pki.ca_material(ca).secret_data(), version="7")


def leaf_secret(wanted, *, issuing=ISSUING, now=NOW, owner=OWNER):
    target = OwnedSecret(wanted.key, wanted.role, owner, "kubernetes.io/tls")
    return found(target, pki.issue_leaf(issuing, wanted.request, now=now).secret_data())


def ledger_of(*generations, request=""):
    """The Secret of a ledger. generations: pairs of a root and its state."""
    entries = (
        Generation(each.key_id, frozenset({fingerprint(each.certificate)}), state, int(NOW.timestamp()))
        for each, state in generations
    )
    put = put_ledger(Ledger(tuple(entries), request), None, SETTINGS)
    return found(put.target, put.data)


def complete(*, root=ROOT, issuing=ISSUING, now=NOW):
    return ObservedInstallation(
        SETTINGS,
        ca_secret(root_secret(SETTINGS), root),
        ca_secret(issuing_secret(SETTINGS), issuing),
        {leaf.key: leaf_secret(leaf, issuing=issuing, now=now) for leaf in LEAVES},
        trust=ledger_of((ROOT, "Active")),
    )


def with_leaf(observed, key, secret):
    return replace(observed, leaves={**observed.leaves, key: secret})


def without_leaf(observed, key):
    return replace(observed, leaves={each: secret for each, secret in observed.leaves.items() if each != key})


def steps(planned):
    """The actions in order, each as a verb and the Secret that it is about."""
    return tuple(map(step, planned.apply))


def step(action):
    match action:
        case MintCA(target):
            return ("mint", target.key)
        case UseCA():
            return USE
        case IssueLeaf(target):
            return ("issue", target.key)
        case PutSecret(target):
            return ("put", target.key.name)


READY = complete()
OTHER_ROOT = complete(root=pki.new_root(now=NOW))


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(EMPTY, (MINT_ROOT, MINT_ISSUING, USE, *ISSUE_ALL), id="nothing is there: everything is made"),
        pytest.param(READY, (USE,), id="all is well: everything is kept"),
        pytest.param(replace(READY, issuing=None), (MINT_ISSUING, USE, *ISSUE_ALL), id="no issuing CA"),
        pytest.param(replace(READY, root=None), (USE,), id="the root is lost: nothing is replaced"),
        pytest.param(OTHER_ROOT, (MINT_ISSUING, PUT_LEDGER, USE, *ISSUE_ALL), id="it belongs to another root"),
        pytest.param(without_leaf(READY, OPERATOR), (USE, ("issue", OPERATOR)), id="one leaf is missing"),
    ],
)
def test_what_is_made_and_in_which_order(observed, expected):
    planned = plan_installation(observed, NOW)
    assert steps(planned) == expected
    assert (planned.delete, planned.refusal) == ((), "")


def test_leaves_of_a_ca_that_is_still_to_be_made_get_the_bundle_that_they_are_issued_with():
    assert [action.beside for action in plan_installation(EMPTY, NOW).apply if isinstance(action, IssueLeaf)] == [
        {}
    ] * 3


def test_a_leaf_is_given_a_changed_bundle_without_being_issued_again():
    stale = READY.leaves[OPERATOR]
    stale = replace(stale, data={**stale.data, "ca.crt": b"old"})
    _, action = plan_installation(with_leaf(READY, OPERATOR, stale), NOW).apply
    assert isinstance(action, MergeSecret)
    assert (action.target.key, action.data) == (OPERATOR, {"ca.crt": ISSUING.trust_pem})


def test_a_lost_root_replaces_no_trust_and_the_operator_says_what_to_do():
    due = NOW + timedelta(days=190)
    lost = replace(READY, root=None, leaves={leaf.key: leaf_secret(leaf, now=due) for leaf in LEAVES})
    for observed, now in ((replace(READY, root=None), NOW), (lost, due)):
        planned = plan_installation(observed, now)
        assert steps(planned) == (USE,)
        assert "nightlatch-root-ca is missing: restore it" in planned.warning
    assert plan_installation(READY, NOW).warning == ""


def test_the_root_signs_itself_and_the_issuing_ca_is_signed_by_the_root():
    root, issuing, use, *_ = plan_installation(EMPTY, NOW).apply
    assert (root.signed_by, root.duration, root.replaces) == (None, SETTINGS.root_duration, None)
    assert (issuing.signed_by, issuing.duration, issuing.replaces) == (
        root.target.key,
        SETTINGS.issuing_duration,
        None,
    )
    assert use.secret == issuing.target.key
    assert {root.target.role, issuing.target.role} == {names.ROLE_CA}


def test_the_issuing_ca_is_replaced_at_half_its_life_and_every_leaf_follows():
    later = NOW + timedelta(days=190)
    fresh = {leaf.key: leaf_secret(leaf, now=later) for leaf in LEAVES}
    before = plan_installation(replace(READY, leaves=fresh), NOW + timedelta(days=170))
    after = plan_installation(replace(READY, leaves=fresh), later)
    assert MINT_ISSUING not in steps(before)
    assert steps(after) == (MINT_ISSUING, USE, *ISSUE_ALL)
    assert after.apply[0].replaces == Revision("uid-s", "7")


@pytest.mark.parametrize("part", ["root", "issuing"])
@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (foreign, "exists and is not ours: rename or delete it"),
        (lambda key: ca_secret(key, ROOT, owner=Owner(OWNER.ref, "another", "")), "exists and is not ours"),
        (lambda key: ca_secret(key, ROOT, data={"tls.crt": b"MARKER"}), "is damaged"),
        (lambda key: replace(ca_secret(key, ROOT), data={}), "is damaged"),
    ],
)
def test_a_ca_secret_that_is_foreign_or_damaged_is_refused_and_no_leaf_is_issued(part, secret, text):
    key = {"root": root_secret, "issuing": issuing_secret}[part](SETTINGS)
    planned = plan_installation(replace(READY, **{part: secret(key)}), NOW)
    assert (planned.apply, planned.delete) == ((), ())
    assert str(key) in planned.refusal
    assert text in planned.refusal
    assert "MARKER" not in planned.refusal


def test_a_root_is_still_made_beside_an_issuing_ca_that_is_refused():
    observed = ObservedInstallation(SETTINGS, issuing=foreign(issuing_secret(SETTINGS)))
    planned = plan_installation(observed, NOW)
    assert steps(planned) == (MINT_ROOT,)
    assert "not ours" in planned.refusal


def test_a_foreign_leaf_secret_ends_the_plan_after_the_leaves_before_it():
    observed = with_leaf(READY, GATEWAY_CLIENT, foreign(GATEWAY_CLIENT))
    observed = without_leaf(without_leaf(observed, OPERATOR), GATEWAY_SERVER)
    planned = plan_installation(observed, NOW)
    assert steps(planned) == (USE, ("issue", OPERATOR))
    assert planned.refusal == f"Secret {GATEWAY_CLIENT} exists and is not ours: rename or delete it"


def test_a_leaf_of_an_earlier_installation_is_deleted():
    orphan = leaf_secret(LEAVES[0], owner=Owner(OWNER.ref, "earlier", ""))
    planned = plan_installation(with_leaf(READY, OPERATOR, orphan), NOW)
    assert [each.key for each in planned.delete] == [OPERATOR]
    assert steps(planned) == (USE,)


def test_the_next_look_is_when_the_first_leaf_is_due():
    assert plan_installation(EMPTY, NOW).requeue_after is None
    due = plan_installation(READY, NOW).requeue_after
    first = min(pki.renew_at(pki.read_leaf(secret.data)) for secret in READY.leaves.values())
    assert due == pytest.approx((first - NOW).total_seconds())
    assert plan_installation(READY, NOW + timedelta(seconds=due - 1)).requeue_after == pytest.approx(1)


def test_a_leaf_that_is_due_is_issued_again_over_exactly_the_one_there():
    later = NOW + timedelta(hours=17)
    planned = plan_installation(READY, later)
    assert steps(planned) == (USE, *ISSUE_ALL)
    assert {action.replaces for action in planned.apply[1:]} == {Revision("uid-s", "1")}


def test_a_leaf_of_another_issuing_ca_is_issued_again_within_the_stated_time():
    other = pki.new_issuing(ROOT, now=NOW)
    seen = with_leaf(READY, OPERATOR, leaf_secret(LEAVES[0], issuing=other))
    first = plan_installation(seen, NOW)
    assert steps(first) == (USE,)
    assert 0 < first.requeue_after < SETTINGS.reissue_over.total_seconds()
    again = plan_installation(seen, NOW + timedelta(seconds=first.requeue_after + 0.001))
    assert steps(again) == (USE, ("issue", OPERATOR))


def test_a_plan_is_a_value_without_private_material():
    assert plan_installation(EMPTY, NOW) == plan_installation(EMPTY, NOW)
    assert "PRIVATE" not in repr(plan_installation(READY, NOW + timedelta(days=190)))
