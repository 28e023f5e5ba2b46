"""A cluster's manifest runs on a laptop when a directory stands for its volume."""

import pytest

from nightlatch.embedded.errors import UserError
from nightlatch.embedded.manifests.claims import bound, parse_claims
from nightlatch.embedded.manifests.documents import read

ENDPOINT = """
apiVersion: nightlatch.dev/v1alpha1
kind: InferenceEndpoint
metadata: {name: minilm}
spec:
  model: {source: {pvc: {claimName: models, path: %s}}}
  access: {apiKey: {}}
"""


def declared(tmp_path, path="minilm"):
    file = tmp_path / "app.yaml"
    file.write_text(ENDPOINT % path)
    return read([file])


def test_a_known_claim_becomes_its_path(tmp_path):
    found = bound(declared(tmp_path), {"models": tmp_path / "volume"})
    assert found.documents[0].object["spec"]["model"]["source"] == {"path": str(tmp_path / "volume" / "minilm")}
    assert not found.problems


def test_an_unknown_claim_stays_for_the_status_to_answer(tmp_path):
    manifests = declared(tmp_path)
    assert bound(manifests, {"others": tmp_path}) == manifests


def test_a_path_out_of_the_volume_is_refused(tmp_path):
    found = bound(declared(tmp_path, "../secret"), {"models": tmp_path / "volume"})
    assert not found.documents
    assert "points outside the volume" in str(found.problems[0])


def test_claims_are_read_from_the_command_line(tmp_path):
    assert parse_claims((f"models={tmp_path}",)) == {"models": tmp_path}


@pytest.mark.parametrize(
    ("given", "says"), [("models", "NAME=DIR"), ("=x", "NAME=DIR"), ("m=/not/there", "not a directory")]
)
def test_a_wrong_claim_says_what_to_write(given, says):
    with pytest.raises(UserError, match=says):
        parse_claims((given,))
