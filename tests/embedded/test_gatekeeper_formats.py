"""An operator of the next release, and of the one before, beside a real gateway of this one."""

import orjson
import pytest

from nightlatch.api import names
from nightlatch.wire.route_document import DOCUMENT_JSON, FORMAT, RouteDocument, encode
from tests.embedded.gatekeeper_lab import KEY, Lab, Leader, eventually, infer, warm
from tests.embedded.test_gatekeeper_survives import Traffic


@pytest.fixture
async def lab(tmp_path):
    async with warm(Lab(tmp_path)) as lab:
        yield lab


async def put_next(lab: Lab, document: RouteDocument) -> None:
    """As the next release may write it: in its format, with a body that this one cannot read."""
    data = encode(document, FORMAT + 1)
    json = orjson.loads(data[DOCUMENT_JSON]) | {"body": {"policies": ["?"]}, "audience": "x"}
    name = names.route_document(document.endpoint)
    await lab.put_secret(name, names.ROLE_ROUTE_DOCUMENT, {**data, DOCUMENT_JSON: orjson.dumps(json)})


async def test_documents_of_the_next_release_refuse_nobody_until_they_take_something_away(lab) -> None:
    leader = Leader(lab)
    await leader.until("gateway-0", lambda said: said.applied == 1, "the good one is in force")
    assert leader.reports["gateway-0"].reads == FORMAT
    async with Traffic(lab).running() as traffic:
        await put_next(lab, lab.document(sequence=5, takes_away_since=1))
        said = await leader.until("gateway-0", lambda said: said.nacked, "it is reported")
        assert said.applied == 1
        assert f"format {FORMAT + 1} is newer than {FORMAT}" in said.nacked
        assert "the last good one stays" in said.nacked
        assert said.too_new
        await traffic.more()
        # What every gateway reads, as the operator writes once it knows.
        await lab.put(lab.document(sequence=6, takes_away_since=1))
        await leader.until("gateway-0", lambda said: said.applied == 6 and not said.nacked, "good again")
        await traffic.more()
    assert set(traffic.statuses) == {200}
    await put_next(lab, lab.document(sequence=7, takes_away_since=7))
    said = await leader.until("gateway-0", lambda said: said.nacked, "it is reported")
    assert "its calls are denied" in said.nacked
    async with lab.client() as client:
        answer = await infer(client)
        assert answer.status_code == 503
        assert "policy_invalid" in answer.text
        await lab.put(lab.document(sequence=8, takes_away_since=7))
        await leader.until("gateway-0", lambda said: said.applied == 8 and not said.nacked, "good again")
        assert (await infer(client)).status_code == 200
    await leader.stop()


async def test_an_unknown_member_of_this_format_is_ignored_unless_it_is_critical(lab) -> None:
    leader = Leader(lab)
    await leader.until("gateway-0", lambda said: said.applied == 1, "the good one is in force")
    for sequence, critical in ((2, []), (3, ["quotas"])):
        data = encode(lab.document(sequence=sequence, takes_away_since=3 if critical else 1))
        json = orjson.loads(data[DOCUMENT_JSON])
        json["body"]["quotas"], json["critical"] = ["search/idp"], critical
        data[DOCUMENT_JSON] = orjson.dumps(json)
        await lab.put_secret(names.route_document(KEY), names.ROLE_ROUTE_DOCUMENT, data)
        if critical:
            said = await leader.until("gateway-0", lambda said: said.nacked, "it is reported")
            assert "quotas" in said.nacked
        else:
            await leader.until("gateway-0", lambda said: said.applied == 2 and not said.nacked, "it is applied")
        async with lab.client() as client:
            assert (await infer(client)).status_code == (503 if critical else 200)
    await leader.stop()


async def test_documents_of_the_first_format_are_served_before_and_after_an_upgrade(lab) -> None:
    leader = Leader(lab)
    await leader.until("gateway-0", lambda said: said.applied == 1, "the good one is in force")
    async with Traffic(lab).running() as traffic:
        for sequence, format_ in ((2, 1), (3, 2), (4, 1), (5, 2)):
            await lab.put(lab.document(sequence=sequence), format_)
            await leader.until(
                "gateway-0",
                lambda said, sequence=sequence: said.applied == sequence and not said.nacked,
                f"format {format_} is applied",
            )
            await traffic.more()
    assert set(traffic.statuses) == {200}
    await leader.stop()


async def test_a_gateway_that_starts_with_documents_of_the_next_release_is_ready_once_it_can_read_them(
    tmp_path,
) -> None:
    """As in a rollback: the operator writes the older format as soon as it hears what the gateway reads."""
    lab = Lab(tmp_path)
    lab.replica(ready=True)
    await put_next(lab, lab.document())
    await lab.start()
    leader = Leader(lab)
    try:
        await leader.until("gateway-0", lambda said: said.nacked, "it cannot be read")
        await eventually(lambda: "\nnightlatch_gateway_serving 1.0\n" in lab.gateways[0].metrics(), "Envoy listens")
        async with lab.client() as client:
            assert (await infer(client)).status_code == 503
            assert lab.gateways[0].readiness() == 503
            await lab.put(lab.document(sequence=2))
            await lab.gateways[0].ready()
            assert (await infer(client)).status_code == 200
    finally:
        await leader.stop()
        lab.stop()
