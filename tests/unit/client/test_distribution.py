"""The client is a distribution of its own, which needs little and knows nothing of the operator."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nightlatch_client
from tests.unit.model_server.test_distribution import imported

PACKAGE = Path(nightlatch_client.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
# Which file may need which extra. The openai package brings httpx2.
EXTRAS = {"signing.py": {"joserfc"}, "requests_auth.py": {"requests"}, "openai_client.py": {"openai", "httpx2"}}


def test_each_file_imports_what_is_declared_for_it() -> None:
    assert PROJECT["dependencies"] == ["httpx>=0.27"]
    assert {line.partition(">")[0] for lines in PROJECT["optional-dependencies"].values() for line in lines} == {
        "joserfc",
        "requests",
        "openai",
    }
    for path in PACKAGE.rglob("*.py"):
        foreign = imported(path.read_text()) - sys.stdlib_module_names - {"nightlatch_client", "httpx"}
        assert foreign <= EXTRAS.get(path.name, set()), path.name


def test_the_package_says_what_it_decides_and_touches() -> None:
    docstring = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text())) or ""
    assert docstring.count(". ") + docstring.count(".\n") >= 2


@pytest.mark.parametrize("missing", ["joserfc", "requests", "openai", "click", "nightlatch", "cryptography", "fcntl"])
def test_it_works_without(missing: str) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from nightlatch_client import Client, ClientSecretPost, HttpxAuth, Tokens\n"
        "HttpxAuth(Tokens(Client('https://id.example', 'bot', ClientSecretPost('x'))))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": str(PACKAGE.parent)})


def test_what_needs_an_extra_says_which() -> None:
    script = (
        "import sys; sys.modules['joserfc'] = None\n"
        "from nightlatch_client import Client, TokenError, Tokens\n"
        "try: Tokens(Client('https://id.example', 'bot', dpop=True))\n"
        "except TokenError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert "pip install 'nightlatch-client[signing]'" in done.stdout
