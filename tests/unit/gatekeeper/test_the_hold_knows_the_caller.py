"""Who makes a held call is read from the metadata of the filter that let the call in."""

from google.protobuf.struct_pb2 import Struct

from nightlatch.gatekeeper.hold.hold_service import identity_of


def struct(**members: object) -> Struct:
    written = Struct()
    written.update(members)
    return written


NATIVE = struct(client="search/bot", credential="k1")
OTHER = struct(client="search/other", credential="k2")


def test_the_gate_names_the_caller() -> None:
    assert identity_of({"nightlatch.gate": NATIVE}) == ("search/bot", "apiKey", "k1")
    assert identity_of({"nightlatch.gate": NATIVE, "another.filter": OTHER}) == ("search/bot", "apiKey", "k1")


def test_the_gate_names_the_proof_where_it_writes_everything() -> None:
    everything = struct(decision="allow", client="search/bot", credential="t1", method="jwt", permission="infer")
    assert identity_of({"nightlatch.gate": everything}) == ("search/bot", "jwt", "t1")


def test_no_other_filter_names_a_caller() -> None:
    assert identity_of({"another.filter": OTHER}) == ("", "apiKey", "")


def test_without_metadata_nobody_calls() -> None:
    assert identity_of({}) == ("", "apiKey", "")
    assert identity_of({"nightlatch.gate": struct(client=7.0)}) == ("", "apiKey", "")
