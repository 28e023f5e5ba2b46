"""Every manifest of cel_cases.yaml, and the largest there can be, on any store.

Subclass `AdmissionContract` beside `StoreContract`.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nightlatch.api.meta import OUR_KINDS, Kind, RawObject
from nightlatch.store.admission.schema import admitted
from nightlatch.store.protocol import InvalidError, Store
from tests.contract.largest import forms, largest

_TABLE = yaml.safe_load(Path(__file__).with_name("cel_cases.yaml").read_text(encoding="utf-8"))
CASES = [
    pytest.param(kind, case, id=f"{kind.kind}: {case['name']}") for kind in OUR_KINDS for case in _TABLE[kind.kind]
]
LARGEST = [pytest.param(kind, form, id=f"{kind.kind}-{form}") for kind in OUR_KINDS for form in range(len(forms(kind)))]


def refusals(case: dict[str, Any]) -> list[dict[str, str]]:
    """The fields that a case is refused for, each with its `path` and perhaps `says`. Empty: it is accepted."""
    refused = case.get("refused", [])
    return refused if isinstance(refused, list) else [refused]


class AdmissionContract:
    """Needs the fixtures `store` and `namespace`."""

    @pytest.mark.parametrize(("kind", "case"), CASES)
    async def test_manifest(self, store: Store, namespace: str, kind: Any, case: dict[str, Any]) -> None:
        manifest: RawObject = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": case.get("called", "case"), "namespace": namespace},
            "spec": case["spec"],
        }
        refused = refusals(case)
        if not refused:
            await store.create(manifest)
            return
        with pytest.raises(InvalidError) as caught:
            await store.create(manifest)
        for each in refused:
            messages = [message for path, message in caught.value.causes if path == each["path"]]
            assert any(each.get("says", "") in message for message in messages), (each, caught.value.causes)

    @pytest.mark.parametrize(("kind", "form"), LARGEST)
    async def test_the_largest_object_is_kept_whole(self, store: Store, namespace: str, kind: Kind, form: int) -> None:
        manifest = largest(kind, namespace, form)
        created = await store.create(manifest)
        assert created["spec"] == admitted(manifest)["spec"]
        assert (await store.replace(created))["spec"] == created["spec"]
