"""Sets up the node's mount namespace: its own /run, /var/lib and /var/log, and files that stand in for sysctls.

The kernel undoes everything when the namespace ends. The host's mounts and settings are never changed.
"""

import subprocess
from pathlib import Path

from tools.node.errors import NodeError
from tools.node.paths import State

# A kubelet sets these in the kernel unless they have the values it wants, so it reads files with those values.
WANTED_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def isolate(state: State) -> None:
    """Set up the mounts. Call this in a new mount, network and pid namespace."""
    # Volumes mounted for pods must appear in running containers, but never on the host.
    _mount("--make-rslave", "/")
    _mount("--make-rshared", "/")
    _mount("-t", "proc", "proc", "/proc")
    for target in (Path("/var/lib"), Path("/var/log")):
        source = state.var / target.name
        source.mkdir(parents=True, exist_ok=True)
        _mount("--bind", str(source), str(target))
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _pretend_sysctls(state)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")


def _pretend_sysctls(state: State) -> None:
    state.sysctls.mkdir(parents=True, exist_ok=True)
    for name, value in WANTED_SYSCTLS.items():
        target = Path("/proc/sys") / name
        if target.exists():
            source = state.sysctls / name.replace("/", ".")
            source.write_text(f"{value}\n", encoding="ascii")
            _mount("--bind", str(source), str(target))


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise NodeError(f"`mount {' '.join(arguments)}` failed: {done.stderr.strip()}")
