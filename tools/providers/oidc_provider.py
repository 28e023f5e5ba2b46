"""npm's `oidc-provider`, installed in the cache as the lock file of the tests has it."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from tools.node.errors import NodeError
from tools.node.locks import exclusive
from tools.node.paths import REPOSITORY, cache_directory
from tools.node.progress import Progress

SOURCE = REPOSITORY / "tests" / "providers" / "npm"
OLDEST_NODE = 20
_FILES = ("package.json", "package-lock.json", "server.mjs")


def missing() -> str:
    """What this machine lacks for it; empty if nothing."""
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        return "oidc-provider comes from npm, and there is no Node.js with npm"
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)", said)
    return "" if found and int(found[1]) >= OLDEST_NODE else f"oidc-provider needs Node.js {OLDEST_NODE} or newer"


def program(progress: Progress) -> Path:
    """Return the path of the server, with its packages beside it. Raises NodeError if npm cannot install them."""
    digest = hashlib.sha256(b"\0".join((SOURCE / name).read_bytes() for name in _FILES)).hexdigest()[:16]
    made = cache_directory() / "oidc-provider" / digest
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(made.parent / "lock", progress):
            if not made.exists():
                _make(made, progress)
    return made / "server.mjs"


def _make(made: Path, progress: Progress) -> None:
    partial = made.with_name(f"{made.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in _FILES:
        shutil.copy(SOURCE / name, partial)
    progress.step("Installing oidc-provider from npm (once)")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=partial, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"`npm ci` failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    partial.rename(made)
