"""Who makes a held call is read from the metadata of the filter that let the call in."""

from google.protobuf.struct_pb2 import Struct

from nightlatch.gatekeeper.hold.hold_service import end_of, proofs_of
from nightlatch.gatekeeper.hold.still_allowed import UNKNOWN, Proof


def struct(**members: object) -> Struct:
    written = Struct()
    written.update(members)
    return written


NATIVE = struct(client="search/bot", credential="k1")
OTHER = struct(client="search/other", credential="k2")


def test_the_gate_names_the_caller() -> None:
    assert proofs_of({"nightlatch.gate": NATIVE}) == (Proof("apiKey", "search/bot", "k1"),)
    assert proofs_of({"nightlatch.gate": NATIVE, "another.filter": OTHER}) == (Proof("apiKey", "search/bot", "k1"),)


def test_the_gate_names_the_proof_where_it_writes_everything() -> None:
    everything = struct(decision="allow", client="search/bot", credential="t1", method="jwt", permission="infer")
    assert proofs_of({"nightlatch.gate": everything}) == (Proof("jwt", "search/bot", "t1"),)


def test_the_gate_names_the_proofs_beside_the_first() -> None:
    told = struct(client="search/bot", credential="k1", beside="mtls search/bot ab,mtls spiffe://x/y cd")
    first, *others = proofs_of({"nightlatch.gate": told})
    assert first == Proof("apiKey", "search/bot", "k1")
    assert others == [Proof("mtls", "search/bot", "ab"), Proof("mtls", "spiffe://x/y", "cd")]
    assert proofs_of({"nightlatch.gate": struct(client="a/b", beside="later")})[1] is UNKNOWN


def test_the_gate_says_when_a_token_or_certificate_ends() -> None:
    assert end_of({"nightlatch.gate": struct(client="a/b", ends="1500")}) == 1.5
    assert end_of({"nightlatch.gate": NATIVE, "another.filter": struct(ends="1")}) is None


def test_no_other_filter_names_a_caller() -> None:
    assert proofs_of({"another.filter": OTHER}) == (Proof("apiKey", "", ""),)


def test_without_metadata_nobody_calls() -> None:
    assert proofs_of({}) == (Proof("apiKey", "", ""),)
    assert proofs_of({"nightlatch.gate": struct(client=7.0)}) == (Proof("apiKey", "", ""),)
