"""Types generated from the API server's own OpenAPI parse what the operator writes and write it back, nothing lost."""

import json
from pathlib import Path

import pytest

from nightlatch.api.meta import API_VERSION, OUR_KINDS
from tests.cluster.installation import Installation, client, endpoint, until
from tests.schemas.openapi_client import client_of

pytestmark = pytest.mark.cluster


def test_what_the_operator_writes_comes_back(installation: Installation, tmp_path: Path):
    namespace = installation.namespace("generated-clients")
    installation.apply(endpoint("one", namespace), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    until(lambda: (installation.get("ic", "bot", namespace) or {}).get("status", {}).get("keys"), "the client's key")
    document = json.loads(installation.kubectl("get", "--raw", f"/openapi/v3/apis/{API_VERSION}"))
    written_back = client_of(document, tmp_path, {kind.kind: f"DevNightlatchV1alpha1{kind.kind}" for kind in OUR_KINDS})
    found = [obj for kind in OUR_KINDS for obj in installation.objects(kind.plural, namespace)]
    assert len(found) == 2
    for obj in found:
        assert obj["status"]["conditions"]
        assert written_back(obj) == obj
    installation.delete("ie", "one", namespace)
    installation.delete("ic", "bot", namespace)
