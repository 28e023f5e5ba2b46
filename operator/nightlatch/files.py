"""Files that only their owner may read, written in one step."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one of mode 0600; a reader sees the old or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
