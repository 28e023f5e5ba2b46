"""A held call may go on only if the policy that is in force now still lets it."""

from dataclasses import replace

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold.still_allowed import Caller, grants_of, refusal
from nightlatch.wire.route_document import KeyGrant
from tests.unit.gatekeeper.test_documents import DOCUMENT

NOW = 1000.5
GRANT = KeyGrant("0" * 64, NamespacedName("search", "bot"), "k1", ("infer", "metadata"))
CALLER = Caller("search/bot", "apiKey", "k1", "infer")
OTHER = replace(GRANT, sha256="1" * 64, key_id="k2")


@pytest.mark.parametrize(
    ("caller", "keys", "denied", "code"),
    [
        pytest.param(CALLER, (GRANT,), None, None, id="still granted"),
        pytest.param(CALLER, (OTHER, GRANT), None, None, id="a second key beside it"),
        pytest.param(CALLER, (), None, "unauthenticated", id="the client is suspended or gone"),
        pytest.param(CALLER, (OTHER,), None, "unauthenticated", id="the key is revoked, another key is not"),
        pytest.param(
            CALLER,
            (replace(GRANT, client=NamespacedName("search", "other")),),
            None,
            "unauthenticated",
            id="the key id of another client",
        ),
        pytest.param(CALLER, (replace(GRANT, permissions=("metadata",)),), None, "insufficient_scope", id="narrowed"),
        pytest.param(CALLER, (replace(GRANT, permissions=("infer",)),), None, None, id="narrowed, not below the call"),
        pytest.param(CALLER, (replace(GRANT, not_after=1001),), None, None, id="about to expire"),
        pytest.param(CALLER, (replace(GRANT, not_after=1000),), None, "unauthenticated", id="expired"),
        pytest.param(CALLER, (replace(GRANT, not_before=1000),), None, None, id="just begun"),
        pytest.param(CALLER, (replace(GRANT, not_before=1001),), None, "unauthenticated", id="not begun"),
        pytest.param(CALLER, (GRANT,), "policy_invalid", "policy_invalid", id="denied"),
        pytest.param(CALLER, (), "policy_stale", "policy_stale", id="denied as stale, also without the key"),
        pytest.param(CALLER, (GRANT,), "from_a_later_version", "policy_invalid", id="denied, for a reason to come"),
        pytest.param(replace(CALLER, method="jwt"), (GRANT,), None, "unauthenticated", id="a method to come"),
        pytest.param(Caller("", "", "", ""), (GRANT,), None, "unauthenticated", id="nobody"),
        pytest.param(replace(CALLER, permission=""), (GRANT,), None, "insufficient_scope", id="no permission named"),
    ],
)
def test_a_held_call_goes_on_only_while_its_grant_lasts(caller, keys, denied, code) -> None:
    error = refusal(caller, denied, grants_of(replace(DOCUMENT, keys=keys)), NOW)
    assert (error and error.code) == code
