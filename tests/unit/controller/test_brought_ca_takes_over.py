"""A CA that somebody brings: from the first installation on, in the place of our own, and one after another."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch.pki import PkiError
from nightlatch.pki.brought import read_brought_ca
from nightlatch.planning.installation.places import generation_of, generation_shown
from tests.unit.controller.test_rollover import HOUR, SETTINGS, Installation, roots
from tests.unit.pki.test_brought_ca import DAY, NOW, authority, brought

NAME = "corp-ca"
BROUGHT = replace(SETTINGS, brought_ca=NAME)
ROOT, OTHER_ROOT = (authority(name, ends=3650 * DAY) for name in ("root", "other root"))


def intermediate(root=ROOT, **how):
    return brought(authority("issuing", root, **{"ends": 365 * DAY} | how), root)


def generation(data):
    return generation_of(read_brought_ca(NAME, data, NOW)).key_id


async def bring(installation, data):
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    metadata = {"namespace": SETTINGS.operator_namespace, "name": NAME}
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": encoded}
    found = await installation.context.find_secret(installation.brought_key)
    await (installation.store.replace(wanted) if found else installation.store.create(wanted))
    await installation.turn()


async def signs(installation):
    return generation_shown((await installation.bot())["tls.crt"])


@pytest.fixture
async def installation(tmp_path):
    return Installation(tmp_path, BROUGHT)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_a_new_installation_signs_with_the_ca_that_is_brought(installation, kind):
    data = intermediate(kind=kind)
    await bring(installation, data)
    assert await signs(installation) == generation(data)
    assert await installation.states() == ["Active"]
    assert await installation.cas() == ["nightlatch-issuing-ca", "nightlatch-trust"], "no root of ours was made"


async def test_a_new_installation_without_a_usable_ca_says_what_is_wrong_and_makes_none(installation):
    with pytest.raises(PkiError, match="CAMissing: there is no Secret"):
        await installation.pki.reconcile()
    data = intermediate()
    with pytest.raises(PkiError, match="CAWithoutKey"):
        await bring(installation, {**data, "tls.key": b""})
    assert await installation.cas() == []


async def test_another_intermediate_under_the_same_root_signs_at_once_and_changes_nobody_s_trust(installation):
    await bring(installation, intermediate())
    before = await installation.bot()
    await bring(installation, intermediate())
    await installation.later(SETTINGS.reissue_over)
    after = await installation.bot()
    assert (after["ca.crt"], await installation.states()) == (before["ca.crt"], ["Active"])
    assert after["tls.crt"] != before["tls.crt"]


async def test_a_ca_of_another_root_takes_over_step_by_step(installation):
    first, second = intermediate(), intermediate(OTHER_ROOT)
    await bring(installation, first)
    await bring(installation, second)
    assert await installation.states() == ["Prepared", "Active"]
    assert (await signs(installation), roots(await installation.bot())) == (generation(first), 2)
    await installation.later(25 * HOUR)
    await installation.later(SETTINGS.reissue_over)
    assert (await signs(installation), roots(await installation.bot())) == (generation(second), 2)
    await installation.later(25 * HOUR)
    assert (await installation.states(), roots(await installation.bot())) == (["Active", "Retired"], 1)
    assert await installation.cas() == ["nightlatch-issuing-ca-b", "nightlatch-trust"]


async def test_our_own_ca_gives_way_to_one_that_is_brought(installation, tmp_path):
    own = Installation(tmp_path / "own", SETTINGS)
    await own.turn()
    before = await signs(own)
    own.settings = BROUGHT
    own.start()
    data = intermediate()
    await bring(own, data)
    assert await signs(own) == before
    for hours in (25, 1, 25):
        await own.later(timedelta(hours=hours))
    assert (await signs(own), await own.states()) == (generation(data), ["Active", "Retired"])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda data: {**data, "tls.key": b""}, "CAWithoutKey"),
        (lambda data: {**data, "tls.crt": b"no certificate"}, "CAUnreadable"),
        (lambda _: brought(authority("old", ROOT, begins=-9 * DAY, ends=-DAY), ROOT), "CAExpired"),
        (lambda _: intermediate(authority("narrow", ends=900 * DAY, path_length=0)), "CAPathLength"),
        (lambda data: {**data, "ca.crt": brought(ROOT, OTHER_ROOT)["ca.crt"]}, "CAChainBroken"),
    ],
)
async def test_a_bad_ca_is_told_and_the_one_before_goes_on(installation, bad, reason):
    data = intermediate()
    await bring(installation, data)
    before = await installation.bot()
    await bring(installation, bad(data))
    assert installation.workloads.told["broughtCA"].startswith(f"{reason}: ")
    assert await installation.bot() == before
    # It still signs.
    await installation.later(timedelta(hours=17))
    after = await installation.bot()
    assert (after["tls.crt"] != before["tls.crt"], await signs(installation)) == (True, generation(data))


async def test_a_request_for_a_roll_over_is_answered_with_what_to_do(installation):
    await bring(installation, intermediate())
    installation.ask()
    await installation.turn()
    assert installation.workloads.told["broughtCA"].endswith("to replace it, put another CA into the Secret")
    assert await installation.states() == ["Active"]
