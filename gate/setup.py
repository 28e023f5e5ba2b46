"""Builds the wheel nightlatch-gate: cargo compiles library and program, which go beside the module that names them.

NIGHTLATCH_GATE_LIBRARY names a library that is built already, with the program beside it. An editable install builds
nothing: `python -m tools.gate build` puts both into the checkout.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

GATE = Path(__file__).parent
LIBRARY = "libnightlatch_gate.so"  # Envoy looks for lib<name>.so on macOS as well.
PROGRAM = "nightlatch-explain"


class BuildWithLibrary(build_py):
    """Adds library and program to the package."""

    def run(self) -> None:
        """Build both unless they are given, and copy them. Raises if cargo fails."""
        super().run()
        if not self.editable_mode:
            library = Path(os.environ.get("NIGHTLATCH_GATE_LIBRARY") or _built())
            package = Path(self.build_lib) / "nightlatch_gate"
            shutil.copy(library, package / LIBRARY)
            # With its mode, which installers keep.
            shutil.copy(library.with_name(PROGRAM), package / PROGRAM)


class PlatformWheel(bdist_wheel):
    """Tags the wheel for this platform and any Python 3: the library does not use Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return py3-none-<platform>."""
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    """A distribution with a compiled library, although setuptools does not compile it."""

    def has_ext_modules(self) -> bool:
        """Make setuptools choose this platform."""
        return True


def _built() -> Path:
    target = GATE / "target"
    subprocess.run(["cargo", "build", "--release", "--locked", "--target-dir", str(target)], cwd=GATE, check=True)
    suffix = "dylib" if sys.platform == "darwin" else "so"
    return target / "release" / f"libnightlatch_gate.{suffix}"


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel}, distclass=PlatformDistribution)
