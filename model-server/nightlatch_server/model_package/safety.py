"""Which file formats a model package must not contain."""

import os
from pathlib import Path

from nightlatch_server.model_package.manifest import PackageError

UNSAFE_SUFFIXES = frozenset(
    {".bin", ".pt", ".pth", ".pt2", ".jit", ".ts", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill"}
    | {".npy", ".npz", ".h5", ".keras", ".so", ".dylib", ".dll", ".py", ".pyc"}
)


def refuse_unsafe_files(directory: Path) -> None:
    """Raise PackageError if any file under `directory`, used or not, has a format that can run code when loaded."""
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            if path.suffix.lower() in UNSAFE_SUFFIXES:
                where = path.relative_to(directory)
                raise PackageError(
                    f"{where}: files of this kind can run code when loaded and are not served; "
                    "convert the weights to .safetensors and remove the file, or use another directory for the package"
                )
