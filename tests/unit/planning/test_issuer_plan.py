"""What becomes of a TokenIssuer: its document for the gateways, and what its status says."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nightlatch.api import names
from nightlatch.api.conditions import Reason
from nightlatch.api.meta import API_VERSION, NamespacedName
from nightlatch.pki import Finding
from nightlatch.planning.issuer.key_source import DISCOVERY_PATH, Fetched, KeySource, ObservedIssuer, key_source
from nightlatch.planning.issuer.plan import plan_issuer
from nightlatch.planning.parsed import read_issuer
from nightlatch.planning.plan import Revision
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings
from nightlatch.wire.issuer_document import ISSUER_JSON, decode_issuer
from tests.attack.certificates import Pki
from tests.attack.tokens import Signer

KEY = NamespacedName("ids", "corp")
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SETTINGS = Settings(platform="Cluster")
ONE, TWO = Signer("ES256", "one"), Signer("ES256", "two")
URL = "https://id.example/keys"
CLUSTER = "https://kubernetes.default.svc.cluster.local"


def raw(**spec):
    spec = {"issuer": "https://id.example", "audiences": ["minilm"], "keys": {"jwksUri": URL}, **spec}
    metadata = {"name": "corp", "namespace": "ids", "uid": "u1", "generation": 3}
    return {"apiVersion": API_VERSION, "kind": "TokenIssuer", "metadata": metadata, "spec": spec}


def jwks(*signers):
    return json.dumps({"keys": [each.jwk for each in signers]}).encode()


class Scene:
    """An issuer, and what is there when it is planned. `plan` carries its own Secret over to the next one."""

    def __init__(self, **spec):
        self.raw = raw(**spec)
        self.observed = ObservedIssuer(SETTINGS)

    def edit(self, **spec):
        self.raw = {**self.raw, "spec": {**self.raw["spec"], **spec}}
        return self

    def fetched(self, *signers, at=NOW, problem=None, content=None, issuer=""):
        content = content if content is not None else jwks(*signers) if signers else None
        self.observed = replace(self.observed, fetched=Fetched(content, int(at.timestamp()), problem, issuer))
        return self

    def plan(self, now=NOW, settings=SETTINGS):
        issuer = read_issuer(self.raw, settings)
        found = plan_issuer(issuer, replace(self.observed, settings=settings), now)
        for put in found.apply:
            view = SecretView(
                put.target.key, Revision("s", "1"), put.target.role, "u1", "TokenIssuer/ids/corp", "", put.data
            )
            self.observed = replace(self.observed, document=view)
        if found.delete:
            self.observed = replace(self.observed, document=None)
        if found.status is not None:
            self.raw = {**self.raw, "status": found.status.model_dump(mode="json", by_alias=True, exclude_none=True)}
        return found

    @property
    def document(self):
        return decode_issuer(self.observed.document.data) if self.observed.document else None

    @property
    def kids(self):
        return [key.kid for key in self.document.keys]

    def condition(self, kind="KeysReady"):
        return next(
            (each["status"], each["reason"]) for each in self.raw["status"]["conditions"] if each["type"] == kind
        )


def test_a_document_has_what_gateways_need_and_says_where_the_keys_are_from():
    scene = Scene(
        permissionsFrom={"claim": "realm_access.roles", "map": {"ml": ["infer", "metadata"]}},
        requiredClaims={"https://corp.example/tenant": "blue"},
        tokenType="at+jwt",
        denied={"jti": ["b", "a"], "issuedBefore": [{"time": "2026-12-01T00:00:00Z"}]},
    ).fetched(ONE)
    scene.plan()
    document = scene.document
    assert (document.issuer, document.iss, document.audiences) == (KEY, "https://id.example", ("minilm",))
    assert document.permissions_claim == ("realm_access", "roles")
    assert document.required_claims == ((("https://corp.example/tenant",), "blue"),)
    assert document.permissions == {"ml": ("infer", "metadata")}
    assert (document.denied.jti, document.denied.issued_before) == (("a", "b"), {"": 1796083200})
    assert document.valid_until == int(NOW.timestamp()) + 3600
    assert scene.kids == ["one"]
    assert scene.raw["status"]["keys"] == [{"kid": "one", "alg": "ES256", "fetchedAt": "2026-12-01T12:00:00Z"}]
    assert scene.condition() == ("True", "KeysInUse")
    assert scene.condition("Ready") == ("True", "Ready")


def test_before_anything_was_fetched_nothing_is_wrong_and_nothing_is_written():
    scene = Scene()
    assert scene.plan().apply == ()
    assert (scene.condition(), scene.condition("Ready")) == (("Unknown", "KeysPending"), ("Unknown", "KeysPending"))


def test_a_refresh_without_news_is_written_only_now_and_then():
    scene = Scene().fetched(ONE)
    scene.plan()
    first = scene.document
    later = NOW + timedelta(minutes=5)
    assert scene.fetched(ONE, at=later).plan(later).apply == ()
    later = NOW + timedelta(minutes=15)
    assert len(scene.fetched(ONE, at=later).plan(later).apply) == 1
    assert scene.document.valid_until == first.valid_until + 900
    assert scene.document.sequence > first.sequence


def test_new_keys_are_written_at_once():
    scene = Scene().fetched(ONE)
    scene.plan()
    scene.fetched(ONE, TWO, at=NOW + timedelta(seconds=3)).plan(NOW + timedelta(seconds=3))
    assert scene.kids == ["one", "two"]


@pytest.mark.parametrize(
    ("problem", "content", "reason"),
    [
        (Finding(Reason.PROVIDER_UNREACHABLE, "it is down"), None, "ProviderUnreachable"),
        (None, b"<html>", "AnswerRefused"),
        (None, jwks(Signer("RS256", bits=1024)), "KeyTooWeak"),
        (None, jwks(ONE, ONE), "KeyIdRepeated"),
    ],
)
def test_the_last_good_keys_stay_until_they_are_max_stale_old_and_then_nobody_believes_them(problem, content, reason):
    scene = Scene().fetched(ONE)
    scene.plan()
    scene.fetched(problem=problem, content=content, at=NOW + timedelta(minutes=59))
    scene.plan(NOW + timedelta(minutes=59))
    assert (scene.kids, scene.condition(), scene.condition("Ready")[0]) == (["one"], ("True", "KeysKept"), "True")
    scene.plan(NOW + timedelta(minutes=60))
    assert (scene.kids, scene.condition()) == (["one"], ("False", "KeysTooOld"))
    assert scene.document.valid_until == int(NOW.timestamp()) + 3600
    assert scene.raw["status"]["keys"] == []
    scene.fetched(TWO, at=NOW + timedelta(minutes=61)).plan(NOW + timedelta(minutes=61))
    assert (scene.kids, scene.condition()) == (["two"], ("True", "KeysInUse"))
    without = Scene().fetched(problem=problem, content=content)
    without.plan()
    assert (without.document, without.condition()) == (None, ("False", reason))


def test_a_plan_is_made_again_when_keys_become_too_old():
    scene = Scene().fetched(ONE)
    assert scene.plan().requeue_after == 3600


def test_keys_of_another_source_are_never_kept():
    scene = Scene().fetched(ONE)
    scene.plan()
    scene.edit(keys={"jwksUri": "https://id.example/other"})
    scene.observed = replace(scene.observed, fetched=None)
    assert len(scene.plan().delete) == 1
    assert scene.document is None


def test_keys_for_an_algorithm_that_is_no_longer_allowed_are_not_kept():
    scene = Scene().fetched(ONE)
    scene.plan()
    scene.edit(algorithms=["RS256"]).fetched(ONE).plan()
    assert (scene.document, scene.condition()) == (None, ("False", "NoUsableKey"))


def test_inline_keys_need_no_provider_and_never_get_old():
    scene = Scene(keys={"inline": {"keys": [ONE.jwk]}})
    assert key_source(read_issuer(scene.raw, SETTINGS), None, SETTINGS, NOW) is None
    assert scene.plan().requeue_after is None
    assert scene.document.valid_until is None
    assert scene.plan(NOW + timedelta(days=400)).apply == ()
    scene.edit(keys={"inline": {"keys": [ONE.jwk, ONE.jwk]}}).plan()
    assert (scene.document, scene.condition()) == (None, ("False", "KeyIdRepeated"))


def test_an_invalid_edit_takes_nothing_away_but_the_tokens_that_it_denies():
    scene = Scene().fetched(ONE)
    scene.plan()
    scene.edit(
        introspection={"endpoint": "https://x", "clientAuth": {"method": "tls_client_auth", "secretRef": {"name": "s"}}}
    )
    scene.edit(audiences=["other"], denied={"jti": ["leaked"]}).plan()
    assert (scene.document.audiences, scene.document.denied.jti) == (("minilm",), ("leaked",))
    assert scene.condition("Accepted") == ("False", "NotYetSupported")
    scene.edit(audiences=7)
    assert scene.plan().apply == ()
    assert scene.condition("Accepted") == ("False", "Invalid")


def test_denials_that_do_not_fit_take_the_document_away_and_the_condition_says_so():
    scene = Scene().fetched(ONE)
    scene.plan()
    ids = {kind: [f"{kind}{number:04}".ljust(256, "x") for number in range(1024)] for kind in ("jti", "sub", "sid")}
    many = {**ids, "issuedBefore": [{"sub": sub, "time": "2026-12-01T00:00:00Z"} for sub in ids["sub"]]}
    scene.edit(denied=many).plan()
    assert (scene.document, scene.condition()) == (None, ("False", "DeniedTooLong"))
    scene.edit(denied=ids).plan()
    assert (len(scene.document.denied.sid), scene.condition()) == (1024, ("True", "KeysInUse"))


def test_discovery_asks_at_the_issuer_and_the_answer_must_be_of_it():
    issuer = read_issuer(raw(issuer="https://id.example/realms/ml/", keys={"discovery": True}), SETTINGS)
    expected = KeySource("https://id.example/realms/ml" + DISCOVERY_PATH, "https://id.example/realms/ml/")
    assert key_source(issuer, None, SETTINGS, NOW) == expected


def kubernetes(**spec):
    """An issuer of the cluster's own tokens."""
    scene = Scene(keys={"kubernetes": {}}, **spec)
    if "issuer" not in spec:
        del scene.raw["spec"]["issuer"]
    return scene


def test_the_keys_of_the_cluster_are_asked_of_its_api_server():
    source = key_source(read_issuer(kubernetes().raw, SETTINGS), None, SETTINGS, NOW)
    assert source == KeySource(DISCOVERY_PATH, None, of_cluster=True)
    named = key_source(read_issuer(kubernetes(issuer=CLUSTER).raw, SETTINGS), None, SETTINGS, NOW)
    assert named == KeySource(DISCOVERY_PATH, CLUSTER, of_cluster=True)


def test_tokens_of_the_cluster_are_of_the_issuer_that_it_calls_itself_also_while_it_does_not_answer():
    scene = kubernetes().fetched(ONE, issuer=CLUSTER)
    scene.plan()
    assert (scene.document.iss, scene.kids, scene.raw["status"]["issuer"]) == (CLUSTER, ["one"], CLUSTER)
    assert scene.condition("Ready") == ("True", "Ready")
    scene.fetched(problem=Finding(Reason.PROVIDER_UNREACHABLE, "it is down")).plan()
    assert (scene.document.iss, scene.condition()) == (CLUSTER, ("True", "KeysKept"))
    scene.observed = replace(scene.observed, fetched=None)
    scene.plan()
    assert scene.document.iss == CLUSTER


def test_keys_of_a_provider_are_not_kept_for_the_cluster_nor_the_reverse():
    scene = kubernetes(issuer=CLUSTER).fetched(ONE, issuer=CLUSTER)
    scene.plan()
    scene.edit(keys={"discovery": True})
    scene.observed = replace(scene.observed, fetched=None)
    scene.plan()
    assert scene.document is None


def test_up_has_no_service_accounts_and_says_so():
    scene = kubernetes()
    scene.plan(settings=Settings(platform="Embedded"))
    assert (scene.document, scene.condition("Accepted")) == (None, ("False", "NotOnThisPlatform"))


def test_the_providers_ca_comes_from_a_secret_that_is_labelled_for_it():
    scene = Scene(caSecretRef={"name": "ca"}).fetched(problem=None)
    issuer = read_issuer(scene.raw, SETTINGS)
    pem = Pki("id").trust.encode()

    def secret(use):
        return SecretView(NamespacedName("ids", "ca"), Revision("s", "1"), "", "", "", "", {"ca.crt": pem}, use=use)

    assert key_source(issuer, None, SETTINGS, NOW) is None
    assert key_source(issuer, secret(""), SETTINGS, NOW) is None
    assert key_source(issuer, secret(names.USE_TRUST), SETTINGS, NOW).ca == pem.decode()
    scene.plan()
    assert scene.condition() == ("False", "ProviderCAMissing")


def test_a_secret_that_is_not_ours_is_never_overwritten_and_an_earlier_issuers_goes():
    scene = Scene().fetched(ONE)
    key = NamespacedName(SETTINGS.gateway_namespace, names.issuer_document(KEY))
    view = SecretView(key, Revision("s", "1"), "", "", "", "", {ISSUER_JSON: b"x"})
    scene.observed = replace(scene.observed, document=view)
    found = scene.plan()
    assert (found.apply, found.delete, scene.condition()) == ((), (), ("False", "SecretConflict"))
    ours = replace(view, role=names.ROLE_ISSUER_DOCUMENT, owner_uid="u0", owner="TokenIssuer/ids/corp")
    scene.observed = replace(scene.observed, document=ours)
    assert [each.key for each in scene.plan().delete] == [key]
    scene.plan()
    assert scene.kids == ["one"]
