"""State-of-the-world ADS on one stream: what is sent, in what order, and what an answer means."""

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import StringValue

from nightlatch.gatekeeper.xds.resources import WHOLE_SET, Resources
from nightlatch.gatekeeper.xds.stream import MAX_UNKNOWN, Stream
from nightlatch.wire.xds_types import ADDRESSES, CLUSTER, LISTENER, ROUTES, SCOPE, SECRET


def packed(text: str) -> AnyMessage:
    message = AnyMessage()
    message.Pack(StringValue(value=text))
    return message


class Envoy:
    """The other side of a stream."""

    def __init__(self) -> None:
        self.resources = Resources()
        self.stream = Stream(self.resources, lambda _, name: packed(f"stand-in for {name}"))
        self.seen: dict[str, str] = {}

    def put(self, *changes: tuple[str, str, str | None]) -> None:
        wanted = {(kind, name): packed(text) if text else None for kind, name, text in changes}
        self.stream.changed(self.resources.update(wanted))

    def ask(self, kind: str, *names: str, nonce: str = "", error: str = ""):
        request = DiscoveryRequest(type_url=kind, resource_names=names, response_nonce=nonce)
        if error:
            request.error_detail.message = error
        return self.stream.received(request)

    def answer(self, received: list[tuple[str, list[str], str]]) -> None:
        """An ACK of each response of a type that is sent as a whole."""
        for kind, _, nonce in received:
            if kind in WHOLE_SET:
                self.ask(kind, nonce=nonce)

    def receive(self) -> list[tuple[str, list[str], str]]:
        found = []
        for response in self.stream.flush():
            texts = []
            for each in response.resources:
                value = StringValue()
                each.Unpack(value)
                texts.append(value.value)
            found.append((response.type_url, sorted(texts), response.nonce))
        return found


def test_only_the_changed_route_is_sent_but_clusters_always_whole() -> None:
    envoy = Envoy()
    envoy.put((CLUSTER, "a", "ca"), (CLUSTER, "b", "cb"), (ROUTES, "a", "ra"), (ROUTES, "b", "rb"))
    envoy.ask(CLUSTER)
    envoy.ask(ROUTES, "a", "b")
    assert [(kind, texts) for kind, texts, _ in envoy.receive()] == [(CLUSTER, ["ca", "cb"]), (ROUTES, ["ra", "rb"])]
    envoy.put((ROUTES, "b", "rb2"))
    assert [(kind, texts) for kind, texts, _ in envoy.receive()] == [(ROUTES, ["rb2"])]
    envoy.put((CLUSTER, "c", "cc"))
    assert [(kind, texts) for kind, texts, _ in envoy.receive()] == [(CLUSTER, ["ca", "cb", "cc"])]


def test_what_is_referred_to_goes_first_and_leaves_last() -> None:
    envoy = Envoy()
    for kind in (LISTENER, SCOPE, CLUSTER):
        envoy.ask(kind)
    envoy.ask(ADDRESSES, "a")
    envoy.ask(ROUTES, "a")
    envoy.answer(envoy.receive())
    everything = (ROUTES, SCOPE, LISTENER, ADDRESSES, CLUSTER)
    envoy.put(*((kind, "a", "x") for kind in everything))
    sent = envoy.receive()
    assert [kind for kind, _, _ in sent] == [CLUSTER, ADDRESSES, LISTENER, SCOPE, ROUTES]
    envoy.answer(sent)
    envoy.put(*((kind, "a", None) for kind in everything))
    assert [kind for kind, _, _ in envoy.receive()] == [SCOPE, LISTENER, CLUSTER]


def test_a_listener_waits_for_the_answer_to_the_one_before_and_takes_with_it_what_came_meanwhile() -> None:
    """Each costs Envoy's main thread time for each of its chains."""
    envoy = Envoy()
    envoy.put((LISTENER, "a", "l1"))
    envoy.ask(LISTENER)
    envoy.ask(ROUTES, "a")
    ((_, _, nonce),) = envoy.receive()
    for number in range(2, 6):
        # What is not of the listener goes on at once, such as a revocation.
        envoy.put((LISTENER, "a", f"l{number}"), (ROUTES, "a", f"r{number}"))
        assert [(kind, texts) for kind, texts, _ in envoy.receive()] == [(ROUTES, [f"r{number}"])]
    envoy.ask(LISTENER, nonce=nonce)
    ((kind, texts, nonce),) = envoy.receive()
    assert (kind, texts) == (LISTENER, ["l5"])
    envoy.put((LISTENER, "a", "l6"))
    assert envoy.receive() == []
    # A refusal is an answer, too.
    envoy.ask(LISTENER, nonce=nonce, error="no")
    assert [(kind, texts) for kind, texts, _ in envoy.receive()] == [(LISTENER, ["l6"])]


def test_a_changed_cluster_gets_its_addresses_again() -> None:
    envoy = Envoy()
    envoy.put((CLUSTER, "a", "ca"), (ADDRESSES, "a", "ea"))
    envoy.ask(CLUSTER)
    envoy.ask(ADDRESSES, "a")
    envoy.receive()
    envoy.put((CLUSTER, "a", "ca2"))
    assert [kind for kind, _, _ in envoy.receive()] == [CLUSTER, ADDRESSES]


def test_a_version_is_applied_once_acknowledged() -> None:
    envoy = Envoy()
    envoy.put((ROUTES, "a", "r1"))
    envoy.ask(ROUTES, "a")
    ((_, _, first),) = envoy.receive()
    assert not envoy.stream.applied((ROUTES, "a"), 1)
    envoy.put((ROUTES, "a", "r2"))
    ((_, _, second),) = envoy.receive()
    envoy.ask(ROUTES, "a", nonce=first)
    assert envoy.stream.applied((ROUTES, "a"), 1)
    assert not envoy.stream.applied((ROUTES, "a"), 2)
    envoy.ask(ROUTES, "a", nonce=second)
    assert envoy.stream.applied((ROUTES, "a"), 2)


def test_a_certificate_nobody_asked_for_is_in_force_and_one_asked_for_must_arrive() -> None:
    envoy = Envoy()
    envoy.put((SECRET, "a.localhost", "s"))
    assert envoy.stream.applied((SECRET, "a.localhost"), 1)
    envoy.ask(SECRET, "a.localhost")
    assert not envoy.stream.applied((SECRET, "a.localhost"), 1)


def test_an_error_is_blamed_on_the_new_resource_it_names() -> None:
    envoy = Envoy()
    envoy.put((CLUSTER, "good", "g"), (CLUSTER, "bad", "b"))
    envoy.ask(CLUSTER)
    ((_, _, nonce),) = envoy.receive()
    outcome = envoy.ask(CLUSTER, nonce=nonce, error="Error adding/updating cluster(s) bad: no")
    assert outcome is not None
    assert set(outcome.versions) == {(CLUSTER, "bad")}


def test_a_name_that_has_another_one_in_it_is_not_blamed() -> None:
    envoy = Envoy()
    envoy.put((CLUSTER, "search/a", "a"), (CLUSTER, "search/abc", "b"), (CLUSTER, "my-search/a", "c"))
    envoy.ask(CLUSTER)
    ((_, _, nonce),) = envoy.receive()
    outcome = envoy.ask(CLUSTER, nonce=nonce, error="Error adding/updating cluster(s) search/abc: no")
    assert outcome is not None
    assert set(outcome.versions) == {(CLUSTER, "search/abc")}


def test_a_bad_certificate_is_found_by_sending_each_alone_and_its_neighbours_arrive() -> None:
    """Envoy does not say which one it refuses. The good one was taken back, too, and nothing sent it again."""
    envoy = Envoy()
    envoy.put((SECRET, "bad.localhost", "first"), (SECRET, "good.localhost", "first"))
    envoy.ask(SECRET, "bad.localhost", "good.localhost")
    ((_, _, nonce),) = envoy.receive()
    envoy.ask(SECRET, "bad.localhost", "good.localhost", nonce=nonce)
    envoy.put((SECRET, "bad.localhost", "foreign"), (SECRET, "good.localhost", "renewed"))
    ((_, _, nonce),) = envoy.receive()
    both = ("bad.localhost", "good.localhost")
    outcome = envoy.ask(SECRET, *both, nonce=nonce, error="Failed to load private key")
    assert outcome is not None
    assert (outcome.versions, outcome.error) == ({}, "Failed to load private key")
    (_, bad, of_bad), (_, good, of_good) = envoy.receive()
    assert (bad, good) == (["foreign"], ["renewed"])
    outcome = envoy.ask(SECRET, *both, nonce=of_bad, error="Failed to load private key")
    assert outcome is not None
    assert outcome.versions == {(SECRET, "bad.localhost"): 2}
    envoy.ask(SECRET, *both, nonce=of_good)
    assert envoy.stream.applied((SECRET, "good.localhost"), 2)
    assert not envoy.stream.applied((SECRET, "bad.localhost"), 2)
    assert envoy.receive() == []


def test_those_beside_a_resource_that_is_named_are_sent_again() -> None:
    """Envoy may have stopped at the bad one."""
    envoy = Envoy()
    envoy.put((ROUTES, "bad", "b"), (ROUTES, "good", "g"))
    envoy.ask(ROUTES, "bad", "good")
    ((_, _, nonce),) = envoy.receive()
    outcome = envoy.ask(ROUTES, "bad", "good", nonce=nonce, error="route configuration bad: no")
    assert outcome is not None
    assert set(outcome.versions) == {(ROUTES, "bad")}
    ((_, texts, nonce),) = envoy.receive()
    assert texts == ["g"]
    envoy.ask(ROUTES, "bad", "good", nonce=nonce)
    assert envoy.stream.applied((ROUTES, "good"), 1)
    assert envoy.receive() == []


def test_a_suspect_that_changes_meanwhile_is_sent_as_it_is_now() -> None:
    envoy = Envoy()
    envoy.put((SECRET, "a.localhost", "a"), (SECRET, "b.localhost", "b"))
    envoy.ask(SECRET, "a.localhost", "b.localhost")
    ((_, _, nonce),) = envoy.receive()
    envoy.ask(SECRET, "a.localhost", "b.localhost", nonce=nonce, error="no")
    envoy.put((SECRET, "a.localhost", "mended"))
    assert [texts for _, texts, _ in envoy.receive()] == [["mended"], ["b"]]


def test_a_refused_resource_falls_back_to_the_accepted_one() -> None:
    resources = Resources()
    resources.update({(CLUSTER, "a"): packed("good")})
    resources.accept([((CLUSTER, "a"), 1)])
    resources.update({(CLUSTER, "a"): packed("bad"), (CLUSTER, "b"): packed("bad")})
    assert resources.refuse((CLUSTER, "a"), 2)
    assert resources.refuse((CLUSTER, "b"), 2)
    assert not resources.refuse((CLUSTER, "a"), 2)
    assert {name: each.version for name, each in resources.of_type(CLUSTER).items()} == {"a": 1}


def test_a_repeated_request_is_answered_again_but_an_acknowledgement_is_not() -> None:
    envoy = Envoy()
    envoy.put((ADDRESSES, "a", "e"))
    envoy.ask(ADDRESSES, "a")
    ((_, _, nonce),) = envoy.receive()
    envoy.ask(ADDRESSES, "a", nonce=nonce)
    assert envoy.receive() == []
    envoy.ask(ADDRESSES, "a", nonce=nonce)
    assert [texts for _, texts, _ in envoy.receive()] == [["e"]]


def test_a_name_that_was_dropped_and_is_asked_for_again_is_sent_again() -> None:
    envoy = Envoy()
    envoy.put((ROUTES, "a", "r"), (ROUTES, "b", "r"))
    envoy.ask(ROUTES, "a", "b")
    ((_, _, nonce),) = envoy.receive()
    envoy.ask(ROUTES, "a", nonce=nonce)
    assert not envoy.stream.applied((ROUTES, "b"), 1)
    envoy.ask(ROUTES, "a", "b", nonce=nonce)
    assert [texts for _, texts, _ in envoy.receive()] == [["r"]]


def test_names_nobody_knows_get_a_stand_in_so_many_and_no_more() -> None:
    envoy = Envoy()
    envoy.ask(SECRET, *(f"host-{number}" for number in range(MAX_UNKNOWN + 10)))
    ((_, texts, _),) = envoy.receive()
    assert len(texts) == MAX_UNKNOWN
