"""Who makes a held call is read from the metadata of the filter that let the call in."""

from google.protobuf.struct_pb2 import Struct

from nightlatch.gatekeeper.hold.hold_service import caller_of
from nightlatch.gatekeeper.hold.still_allowed import Caller


def struct(**members: object) -> Struct:
    written = Struct()
    written.update(members)
    return written


NATIVE = struct(decision="allow", client="search/bot", credential="k1", method="apiKey", permission="infer")
LUA = struct(client="search/old", key_id="k2", permission="metadata", permissions=["infer", "metadata"])


def test_the_native_gate_names_the_caller() -> None:
    assert caller_of({"nightlatch.gate": NATIVE}) == Caller("search/bot", "apiKey", "k1", "infer")
    assert caller_of({"nightlatch.gate": NATIVE, "nightlatch.caller": LUA}).client == "search/bot"


def test_the_lua_filters_name_the_caller() -> None:
    assert caller_of({"nightlatch.caller": LUA}) == Caller("search/old", "apiKey", "k2", "metadata")


def test_without_metadata_nobody_calls() -> None:
    assert caller_of({}) == Caller("", "apiKey", "", "")
    assert caller_of({"nightlatch.gate": struct(client=7.0)}) == Caller("", "", "", "")
