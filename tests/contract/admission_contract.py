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
from tests.contract.largest import SMALLER, largest, unfilled

_TABLE = yaml.safe_load(Path(__file__).with_name("cel_cases.yaml").read_text(encoding="utf-8"))
CASES = [
    pytest.param(kind, case, id=f"{kind.kind}: {case['name']}") for kind in OUR_KINDS for case in _TABLE[kind.kind]
]


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
        refused = case.get("refused")
        if refused is None:
            await store.create(manifest)
            return
        with pytest.raises(InvalidError) as caught:
            await store.create(manifest)
        messages = [message for path, message in caught.value.causes if path == refused["path"]]
        assert messages, caught.value.causes
        assert any(refused.get("says", "") in message for message in messages), messages

    @pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
    async def test_the_largest_object_is_kept_whole(self, store: Store, namespace: str, kind: Kind) -> None:
        manifest = largest(kind, namespace)
        assert unfilled(kind, manifest["spec"]) <= SMALLER
        created = await store.create(manifest)
        assert created["spec"] == admitted(manifest)["spec"]
        assert (await store.replace(created))["spec"] == created["spec"]
