"""Several resourceVersions travel as one."""

import pytest

from nightlatch.store.kubernetes.versions import join, split


@pytest.mark.parametrize("parts", [["7"], ["7", "12"], ["", "0", "18446744073709551615"]])
def test_what_was_joined_comes_apart_in_order(parts):
    assert split(join(parts), len(parts)) == parts


@pytest.mark.parametrize(("version", "count"), [("7", 2), ("7,8", 1), ("7,8,9", 2)])
def test_a_version_of_another_number_of_namespaces_is_refused(version, count):
    with pytest.raises(ValueError, match=f"{count} were expected"):
        split(version, count)
