"""Types that are generated from the CRDs' OpenAPI parse our objects and write them back, with nothing lost."""

import pytest
import yaml
from pydantic import ValidationError

from nightlatch.api.meta import OUR_KINDS, RawObject
from tests.contract.largest import largest
from tests.schemas.manifests import ROOT, manifests
from tests.schemas.openapi_client import Client, client_of, crd_document

CASES = yaml.safe_load((ROOT / "tests" / "contract" / "cel_cases.yaml").read_text())
ACCEPTED = [
    pytest.param(
        {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "case"}, "spec": case["spec"]},
        id=f"{kind.kind}: {case['name']}",
    )
    for kind in OUR_KINDS
    for case in CASES[kind.kind]
    if "refused" not in case
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client_of(crd_document(), tmp_path_factory.mktemp("client"))


@pytest.mark.parametrize("obj", [pytest.param(each.object, id=each.place) for each in manifests() if each.ours])
def test_what_the_docs_show_comes_back(client: Client, obj: RawObject) -> None:
    assert client(obj) == obj


@pytest.mark.parametrize("obj", ACCEPTED)
def test_what_an_api_server_takes_comes_back(client: Client, obj: RawObject) -> None:
    assert client(obj) == obj


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_the_largest_object_comes_back(client: Client, kind) -> None:
    obj = largest(kind, "search")
    assert client(obj) == obj


def test_a_field_that_the_schema_lacks_does_not_pass_unseen(client: Client) -> None:
    obj: RawObject = ACCEPTED[0].values[0]  # type: ignore[assignment]
    with pytest.raises(ValidationError, match="unknownField"):
        client({**obj, "spec": {**obj["spec"], "unknownField": 1}})
