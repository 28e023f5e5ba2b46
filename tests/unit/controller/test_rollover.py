"""A roll-over of the CA from request to end: the real plan and applier on a store."""

from datetime import UTC, datetime, timedelta

import pytest

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier
from nightlatch.controller.context import Context
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.controller.reconcilers.installation import PkiReconciler
from nightlatch.pki.material import read_certificates
from nightlatch.planning.installation.ledger_secret import ledger_secret, read_ledger
from nightlatch.planning.installation.places import generation_shown
from nightlatch.planning.leaves import WantedLeaf, decide_leaf
from nightlatch.planning.plan import Owner
from nightlatch.planning.secrets import view_secret
from nightlatch.planning.settings import Settings
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.store.files.store import FilesStore
from tests.unit.controller.world import RememberedWorkloads

SETTINGS = Settings(platform="Embedded", port=8443)
BOT = NamespacedName("search", "bot-certificate")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Installation:
    """`later` passes time; `turn` reconciles the PKI, and a client's leaf as its own reconcile would."""

    def __init__(self, path, settings=SETTINGS):
        self.settings = settings
        self.brought_key = NamespacedName(settings.operator_namespace, "corp-ca")
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.store, self.workloads, self.ca = FilesStore(path), RememberedWorkloads(), IssuingCA()
        context = Context(self.store, self.workloads, lambda: self.now, lambda size: b"r" * size)
        self.applier = Applier(context, self.ca, None)
        self.context = context
        self.start()

    def start(self):
        """As after a crash: what is not in the store is forgotten."""
        self.ca = IssuingCA()
        self.applier = Applier(self.context, self.ca, None)
        runtime = lambda _key: EndpointRuntime()  # noqa: E731
        self.pki = PkiReconciler(self.context, self.applier, self.ca, self.settings, runtime)

    async def turn(self, *, client=True):
        for _ in range(4):
            await self.pki.reconcile()
            if client:
                await self.renew()

    async def renew(self):
        owner = Owner(ObjectRef("InferenceClient", NamespacedName("search", "bot")), "uid", "nightlatch.dev/v1alpha1")
        request = pki.LeafRequest("spiffe://nightlatch.local/ns/search/ic/bot", "client")
        wanted = WantedLeaf(BOT, names.ROLE_CLIENT_TLS, owner, request)
        decision = decide_leaf(wanted, await self.context.find_secret(BOT), self.ca.view(), self.now)
        if action := decision.issue or decision.refresh:
            await self.applier.act(action)

    async def later(self, time, **how):
        self.now += time
        await self.turn(**how)

    async def states(self):
        found = read_ledger(await self.context.find_secret(ledger_secret(SETTINGS)))
        return [each.state for each in found.generations]

    async def bot(self):
        return (await self.context.find_secret(BOT)).data

    async def cas(self):
        secrets = (await self.store.list(SECRET, labels={names.LABEL_ROLE: names.ROLE_CA})).items
        return sorted(view_secret(raw).key.name for raw in secrets)

    def ask(self, value="now"):
        self.workloads.annotations = {names.ANNOTATION_ROLLOVER: value}


@pytest.fixture
async def installation(tmp_path):
    found = Installation(tmp_path)
    await found.turn()
    return found


def roots(data):
    return len(read_certificates(data["ca.crt"]))


ALONE = ["nightlatch-issuing-ca", "nightlatch-root-ca", "nightlatch-trust"]
SECOND = ["nightlatch-issuing-ca-b", "nightlatch-root-ca-b", "nightlatch-trust"]
BOTH = sorted({*ALONE, *SECOND})


async def test_a_roll_over_goes_step_by_step_and_leaves_one_ca(installation):
    assert (await installation.states(), await installation.cas()) == (["Active"], ALONE)
    before = await installation.bot()
    installation.ask()
    await installation.turn()
    # The next CA is trusted everywhere, and signs nothing.
    assert (await installation.states(), await installation.cas()) == (["Prepared", "Active"], BOTH)
    prepared = await installation.bot()
    assert (prepared["tls.crt"], roots(prepared)) == (before["tls.crt"], 2)
    assert installation.workloads.told["rollover"] == "under way"
    # Callers have a day to take it.
    await installation.later(23 * HOUR)
    assert await installation.states() == ["Prepared", "Active"]
    await installation.later(2 * HOUR)
    assert await installation.states() == ["Active", "Retiring"]
    await installation.later(SETTINGS.reissue_over)
    after = await installation.bot()
    assert generation_shown(after["tls.crt"]) != generation_shown(before["tls.crt"])
    assert roots(after) == 2
    # And a day to take their new certificates.
    await installation.later(DAY + HOUR)
    assert (await installation.states(), await installation.cas()) == (["Active", "Retired"], SECOND)
    assert roots(await installation.bot()) == 1
    assert installation.workloads.told["rollover"] == "none"
    # The same request asks for nothing more, and another does.
    await installation.later(DAY)
    assert await installation.states() == ["Active", "Retired"]
    installation.ask("again")
    await installation.turn()
    assert (await installation.states(), await installation.cas()) == (["Prepared", "Active", "Retired"], BOTH)
    await installation.later(DAY + HOUR)
    await installation.later(SETTINGS.reissue_over)
    await installation.later(DAY + HOUR)
    assert await installation.cas() == ALONE


async def test_a_leaf_that_was_not_issued_again_keeps_the_old_ca_in_every_bundle(installation):
    installation.ask()
    await installation.turn(client=False)
    await installation.later(25 * HOUR, client=False)
    # The client's Secret has not even the new bundle, so nothing is signed by the new CA.
    assert await installation.states() == ["Prepared", "Active"]
    assert "Secret search/bot-certificate" in installation.workloads.told["waitingFor"]
    await installation.turn()
    await installation.later(25 * HOUR, client=False)
    assert await installation.states() == ["Active", "Retiring"]
    await installation.later(3 * DAY, client=False)
    assert await installation.states() == ["Active", "Retiring"]
    assert "Secret search/bot-certificate" in installation.workloads.told["waitingFor"]
    await installation.later(HOUR)
    await installation.later(25 * HOUR)
    assert await installation.states() == ["Active", "Retired"]


async def test_a_roll_over_goes_on_after_a_crash_at_any_step(installation):
    installation.ask()
    for hours in (0, 0, 25, 1, 26, 26, 26):
        installation.now += timedelta(hours=hours)
        installation.start()
        await installation.pki.reconcile()
        await installation.renew()
        installation.start()
        await installation.turn()
    assert (await installation.states(), await installation.cas()) == (["Active", "Retired"], SECOND)


async def test_an_issuing_ca_at_half_its_life_is_replaced_under_the_same_root_without_a_new_generation(installation):
    before = await installation.bot()
    await installation.later(timedelta(days=190))
    await installation.later(SETTINGS.reissue_over)
    after = await installation.bot()
    assert await installation.states() == ["Active"]
    assert pki.read_leaf(after).issuer_key_id != pki.read_leaf(before).issuer_key_id
    assert after["ca.crt"] == before["ca.crt"]


async def test_a_root_at_half_its_life_is_rolled_over_by_itself(installation):
    await installation.later(timedelta(days=1826))
    assert (await installation.states(), await installation.cas()) == (["Prepared", "Active"], BOTH)


async def test_a_ledger_that_cannot_be_read_changes_nothing(installation):
    found = await installation.store.get(SECRET, SETTINGS.operator_namespace, names.TRUST_SECRET)
    await installation.store.replace({**found, "data": {}})
    with pytest.raises(pki.PkiError, match="restore it, or delete it while no roll-over is under way"):
        await installation.pki.reconcile()
