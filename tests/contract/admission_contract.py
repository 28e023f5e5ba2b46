"""Every manifest of cel_cases.yaml, on any store. Subclass `AdmissionContract` beside `StoreContract`."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nightlatch.api.meta import OUR_KINDS, RawObject
from nightlatch.store.protocol import InvalidError, Store

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
