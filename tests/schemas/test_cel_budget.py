"""The CEL rules stay well within what an API server allows, counted with its own library."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from nightlatch.api.meta import OUR_KINDS, Kind
from tests.contract.largest import largest
from tools.cel_budget import CRDS, Budget, Definition, counted, main

# The first run on a machine compiles a program in Go, perhaps behind another build that holds the lock.
pytestmark = pytest.mark.timeout(1800)

# What is added later must still fit: a rule's cost grows with every list around it.
SHARE = 0.8


@pytest.fixture(scope="module")
def budget(tmp_path_factory: pytest.TempPathFactory) -> Budget:
    """Of our CRDs, and of the largest object of each kind."""
    directory = tmp_path_factory.mktemp("largest")
    files = [directory / f"{kind.kind}.json" for kind in OUR_KINDS]
    for kind, file in zip(OUR_KINDS, files, strict=True):
        file.write_text(json.dumps(largest(kind, "search")))
    return counted([CRDS / f"{kind.plural}.yaml" for kind in OUR_KINDS], files)


def definition(budget: Budget, kind: Kind) -> Definition:
    return next(each for each in budget.definitions if each.kind == kind.kind)


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_an_api_server_takes_the_crd(budget: Budget, kind: Kind) -> None:
    assert definition(budget, kind).refused == ()


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_the_rules_of_a_crd_leave_a_fifth_of_the_budget(budget: Budget, kind: Kind) -> None:
    found = definition(budget, kind)
    assert found.rules
    assert found.cost <= SHARE * budget.definition_limit
    assert found.rules[0].cost <= SHARE * budget.rule_limit, found.rules[0]


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_the_largest_object_leaves_a_fifth_of_the_budget(budget: Budget, kind: Kind) -> None:
    found = next(each for each in budget.objects if each.file.stem == kind.kind)
    assert found.refused == ()
    assert 0 < found.cost <= SHARE * budget.object_limit


@pytest.fixture(scope="module")
def too_dear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CRD whose one rule compares each of 700 names with every other, for each of 20 lists."""
    names = {
        "type": "array",
        "maxItems": 700,
        "items": {"type": "string", "maxLength": 63},
        "x-kubernetes-validations": [{"rule": "self.all(a, self.exists_one(b, a == b))", "message": "a name twice"}],
    }
    crd = copy.deepcopy(yaml.safe_load((CRDS / "inferenceclients.yaml").read_text()))
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"lists": {"type": "array", "maxItems": 20, "items": names}}}
        },
    }
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = []
    path = tmp_path_factory.mktemp("too-dear") / "crd.yaml"
    path.write_text(yaml.safe_dump(crd))
    return path


def test_what_is_counted_is_what_the_api_server_refuses_by(too_dear: Path) -> None:
    budget = counted([too_dear])
    (found,) = budget.definitions
    (rule,) = found.rules
    assert rule.path == "spec.lists[]"
    factors = [float(number) for text in found.refused for number in re.findall(r"by factor of ([0-9.]+)x", text)]
    assert factors == pytest.approx([rule.cost / budget.rule_limit, found.cost / budget.definition_limit], abs=0.05)


def test_the_command_prints_a_table_and_names_what_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("{kind: InferenceClient, spec: {endpoints: []}}")
    assert main([]) == 0
    assert main([str(wrong)]) == 1
    printed = capsys.readouterr()
    for kind in OUR_KINDS:
        assert f"| {kind.kind} | " in printed.out
    assert "a client needs a credential" in printed.err
