"""The demo keeps every promise, and its output is fit for a pipe."""

import subprocess
import sys

from tests.embedded.running import ENVIRONMENT


def test_the_demo_keeps_every_promise(minilm, tmp_path):
    demo = subprocess.run(
        [sys.executable, "-m", "nightlatch", "demo", "--model", str(minilm)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
        timeout=150,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "✗" not in demo.stdout
    for step in "abcdef":
        assert f"({step})" in demo.stdout
    assert "\x1b" not in demo.stdout
    assert list(tmp_path.iterdir()) == []
