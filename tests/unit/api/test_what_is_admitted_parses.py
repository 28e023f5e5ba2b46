"""What a store admits can be parsed: an object that passed `kubectl apply` is never Accepted=False / Invalid."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nightlatch.api.meta import OUR_KINDS, Kind
from nightlatch.api.validation.parse import PARSERS
from nightlatch.store.admission.schema import admitted

TABLE = yaml.safe_load((Path(__file__).parents[2] / "contract" / "cel_cases.yaml").read_text())


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        pytest.param(kind, case, id=f"{kind.kind}: {case['name']}")
        for kind in OUR_KINDS
        for case in TABLE[kind.kind]
        if "refused" not in case
    ],
)
def test_what_is_admitted_parses(kind: Kind, case: dict[str, Any]) -> None:
    manifest = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": case.get("called", "case"), "namespace": "search"},
        "spec": case["spec"],
    }
    assert PARSERS[kind.kind](admitted(manifest)).key.namespace == "search"
