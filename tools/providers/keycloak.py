"""Keycloak's distribution from Maven Central, built for the tests: no database file, no cluster of its own."""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from tools.node.errors import NodeError
from tools.node.locks import exclusive
from tools.node.paths import cache_directory
from tools.node.progress import Progress

VERSION = "26.7.3"
SHA256 = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
OLDEST_JAVA = 17
# Options that Keycloak compiles in. Those of a start must not differ from them.
BUILD = ("--db=dev-mem", "--https-client-auth=request")

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy"


def missing() -> str:
    """What this machine lacks for Keycloak; empty if nothing."""
    if not shutil.which("mvn"):
        return "Keycloak comes from Maven Central, and there is no mvn"
    java = shutil.which("java")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr if java else ""
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < OLDEST_JAVA:
        return f"Keycloak needs Java {OLDEST_JAVA} or newer"
    return ""


def distribution(progress: Progress) -> Path:
    """Return the folder of the built distribution. Raises NodeError if it cannot be had."""
    built = cache_directory() / "keycloak" / f"{VERSION}-{_digest()}"
    if built.exists():
        return built
    built.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(built.parent / "lock", progress):
        if not built.exists():
            _make(built, progress)
    return built


def environment(**more: str) -> dict[str, str]:
    """For Keycloak's programs: a small heap and a quick start instead of the best speed."""
    return os.environ | {
        "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
        "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        **more,
    }


def _digest() -> str:
    return hashlib.sha256("\n".join([SHA256, *BUILD]).encode()).hexdigest()[:16]


def _make(built: Path, progress: Progress) -> None:
    partial = built.with_name(f"{built.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    progress.step(f"Fetching Keycloak {VERSION} from Maven Central (once; 170 MB)")
    artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
    _run(["mvn", "-q", "-B", _COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={partial}"])
    archive = partial / f"keycloak-quarkus-dist-{VERSION}.zip"
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise NodeError(f"{archive.name} is not the file that {__name__} names: its SHA-256 differs")
    with zipfile.ZipFile(archive) as files:
        files.extractall(partial)
    archive.unlink()
    home = partial / f"keycloak-{VERSION}"
    program = home / "bin" / "kc.sh"
    program.chmod(0o755)
    progress.step("Building Keycloak for the tests (once; a minute or two)")
    _run([str(program), "build", *BUILD])
    home.rename(built)
    shutil.rmtree(partial)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise NodeError(
            f"`{Path(command[0]).name} {command[1]}` failed:\n{(done.stdout + done.stderr).strip()[-2000:]}"
        )
