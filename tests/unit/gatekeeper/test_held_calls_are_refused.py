"""The gatekeeper refuses held calls by their documents, while it is stale, and by gateway-wide revocations."""

import asyncio
from dataclasses import replace

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.gatekeeper.documents import DocumentChanges
from nightlatch.gatekeeper.gatekeeper import Gatekeeper
from nightlatch.gatekeeper.hold.endpoint import GatewayEndpoint
from nightlatch.gatekeeper.hold.still_allowed import HeldCall, Proof
from nightlatch.gatekeeper.hold.waiting_room import Outcome, Refused
from nightlatch.gatekeeper.process.fallback import fallback_certificate
from nightlatch.gatekeeper.xds.program import Program
from nightlatch.pki.material import TlsMaterial
from nightlatch.store.files.store import FilesStore
from nightlatch.wire.issuer_document import DeniedTokens, IssuerDocument
from nightlatch.wire.route_document import KeyGrant, TrustedIssuer
from nightlatch.workloads.processes.reader import ProcessWorkloadReader
from tests.unit.gatekeeper.test_documents import DOCUMENT, KEY
from tests.unit.wire.test_issuer_document import KEY_2, issuer_document

GRANTS = tuple(
    KeyGrant(digit * 64, NamespacedName("search", f"bot-{digit}"), f"k{digit}", ("infer",)) for digit in "12"
)
WITH_KEYS = replace(DOCUMENT, operations=operations_for(None, "minilm"), keys=GRANTS)
FIRST, SECOND = (
    HeldCall((Proof("apiKey", str(grant.client), grant.key_id),), "POST", "/v2/models/minilm/infer") for grant in GRANTS
)


@pytest.fixture
async def gatekeeper(tmp_path):
    program = Program("127.0.0.1", 8443, fallback_certificate())
    program.put_client(TlsMaterial(b"c", b"k", b"a"))
    gatekeeper = Gatekeeper(
        name="gateway-0",
        store=FilesStore(tmp_path),
        gateway_namespace="nightlatch-gateway",
        workloads=ProcessWorkloadReader(tmp_path),
        operator_identity="spiffe://nightlatch.local/operator",
        program=program,
        max_staleness=3600.0,
        max_held=8,
    )
    gatekeeper.endpoints[KEY] = GatewayEndpoint(WITH_KEYS, (), gatekeeper)
    yield gatekeeper
    gatekeeper.close()


async def held(gatekeeper: Gatekeeper, *calls: HeldCall) -> list[asyncio.Task[Outcome]]:
    tasks = [asyncio.create_task(gatekeeper.endpoints[KEY].admit(call, None)) for call in calls]
    await asyncio.sleep(0)
    assert gatekeeper.endpoints[KEY].held == len(calls)
    return tasks


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Refused)
    return outcome.error.code


async def test_a_gateway_wide_revocation_refuses_held_calls_and_those_to_come(gatekeeper) -> None:
    first, second = await held(gatekeeper, FIRST, SECOND)
    gatekeeper.refuse_revoked(lambda call: call.client == FIRST.client)
    assert code(await first) == "unauthenticated"
    assert gatekeeper.endpoints[KEY].report(issued=0).held == 1, "the demand of the refused call has ended"
    assert code(await gatekeeper.endpoints[KEY].admit(FIRST, None)) == "unauthenticated"
    assert not second.done()
    gatekeeper.refuse_revoked(lambda _: False)
    (again,) = [asyncio.create_task(gatekeeper.endpoints[KEY].admit(FIRST, None))]
    await asyncio.sleep(0)
    assert gatekeeper.endpoints[KEY].held == 2
    again.cancel()


async def test_a_new_document_refuses_the_calls_that_lost_their_grant_alone(gatekeeper) -> None:
    first, second = await held(gatekeeper, FIRST, SECOND)
    gatekeeper.endpoints[KEY].replace_document(replace(WITH_KEYS, sequence=2, keys=GRANTS[1:]))
    assert code(await first) == "unauthenticated"
    assert not second.done()
    assert gatekeeper.endpoints[KEY].held == 1


async def test_a_call_that_was_let_in_by_a_replaced_policy_is_not_held(gatekeeper) -> None:
    gatekeeper.endpoints[KEY].replace_document(replace(WITH_KEYS, sequence=2, keys=()))
    assert code(await gatekeeper.endpoints[KEY].admit(FIRST, None)) == "unauthenticated"


async def test_a_stale_gateway_refuses_held_calls(gatekeeper) -> None:
    (first,) = await held(gatekeeper, FIRST)
    gatekeeper.stale = True
    gatekeeper.endpoints[KEY].reprogram()
    assert code(await first) == "policy_stale"


async def test_calls_of_all_endpoints_share_the_places_of_the_gateway(gatekeeper) -> None:
    other = replace(WITH_KEYS, endpoint=NamespacedName("search", "other"), hosts=("other.search.localhost",))
    gatekeeper.endpoints[other.endpoint] = GatewayEndpoint(other, (), gatekeeper)
    tasks = await held(gatekeeper, *[FIRST] * 6)
    assert code(await gatekeeper.endpoints[KEY].admit(FIRST, None)) == "too_many_held_at_gateway"
    one = asyncio.create_task(gatekeeper.endpoints[other.endpoint].admit(FIRST, None))
    await asyncio.sleep(0)
    assert gatekeeper.endpoints[other.endpoint].held == 1, "an endpoint that holds none has a place"
    stats = gatekeeper.stats()
    assert (sum(each.held for each in stats.endpoints), stats.held_limit, stats.held_refused) == (7, 8, 1)
    gatekeeper.close()
    assert {code(each) for each in await asyncio.gather(*tasks, one)} == {"endpoint_removed"}
    assert gatekeeper.places.held == 0


CORP = NamespacedName("ids", "corp")
BY_TOKEN = HeldCall((Proof("jwt", "ids/corp:alice", "0"),), "POST", "/v2/models/minilm/infer")


async def test_a_denied_token_refuses_the_held_calls_of_its_issuer_and_new_keys_refuse_nobody(gatekeeper) -> None:
    taken = replace(
        WITH_KEYS, sequence=2, accept=(("apiKey",), ("jwt",)), issuers=(TrustedIssuer(CORP, "https://id.example"),)
    )
    gatekeeper.endpoints[KEY].replace_document(taken)
    gatekeeper._current = True

    def has(issuer: IssuerDocument | None) -> None:
        gatekeeper.documents.issuers = {CORP: issuer} if issuer else {}
        gatekeeper._documents_changed(DocumentChanges(issuers=True))

    issuer = issuer_document(CORP)
    has(issuer)
    by_key, by_token = await held(gatekeeper, FIRST, BY_TOKEN)
    has(replace(issuer, keys=(*issuer.keys, KEY_2), valid_until=2_000_000_000, sequence=2))
    assert not by_token.done()
    has(replace(issuer, denied=DeniedTokens(jti=("leaked",)), sequence=3))
    assert code(await by_token) == "verification_unavailable"
    assert not by_key.done()
    (again,) = [asyncio.create_task(gatekeeper.endpoints[KEY].admit(BY_TOKEN, None))]
    await asyncio.sleep(0)
    assert gatekeeper.endpoints[KEY].held == 2, "the gate has let it in by the newest list"
    has(None)
    assert code(await again) == "verification_unavailable"
