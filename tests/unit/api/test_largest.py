"""The largest objects are as large as the schemas and a MiB allow, so what is shown with them is shown for all."""

import pytest

from nightlatch.api.meta import INFERENCE_ENDPOINT, OUR_KINDS, Kind
from tests.contract.largest import MIB, SMALLER, forms, largest, size, unfilled, unused_room


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_every_list_and_map_is_at_its_maximum_in_one_of_them(kind: Kind) -> None:
    specs = [largest(kind, "search", form)["spec"] for form in range(len(forms(kind)))]
    assert unfilled(kind, specs) <= SMALLER


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_no_text_could_be_longer_or_a_mib_is_used_up(kind: Kind) -> None:
    """Texts in sets count twice, so a spec may be smaller than what an API server keeps of it."""
    found = largest(kind, "search")
    assert size(found) <= MIB
    if kind == INFERENCE_ENDPOINT:
        assert size(found) > 0.95 * MIB
    else:
        assert unused_room(kind, found["spec"]) == 0 or size(found) > MIB / 2
