"""`nightlatch token`: how it is used, and that secrets stay out of arguments and output."""

import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from nightlatch.cli import token
from nightlatch.embedded.errors import UserError
from nightlatch_client import Client, ClientSecretBasic, ClientSecretPost, PrivateKeyJwt, PublicClient, TlsClientAuth
from nightlatch_client.answers import Granted
from nightlatch_client.logged_in import client_of, new
from nightlatch_client.logins import Logins, folder
from nightlatch_client.secret import Variable, reveal
from nightlatch_client.signing import SigningKey
from nightlatch_client.state import Token
from nightlatch_client.surroundings import Surroundings
from nightlatch_client.tokens import Tokens

ISSUER = "https://id.example/realms/ml"
WHO = ("--issuer", ISSUER, "--client-id", "bot")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("NIGHTLATCH_CLIENT_SECRET", raising=False)
    return tmp_path


def run(*arguments: str, stdin: str = "") -> tuple[str, str]:
    """Standard output and standard error. Raises UserError, as the command does."""
    done = CliRunner().invoke(token.command, list(arguments), input=stdin, catch_exceptions=True)
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exception is None, done.exception
    return done.stdout, done.stderr


def described(*arguments: str) -> dict[str, Any]:
    context = token.command.make_context("token", [*WHO, *arguments])
    return token._described({name: value for name, value in context.params.items() if name != "name"})


def keep(kind: str = "Bearer", name: str = "default") -> None:
    around = Surroundings()
    granted = Granted(Token("the-token", kind, around.now(), 300.0), "the-refresh-token")
    key = SigningKey.generate() if kind == "DPoP" else None
    words = {"issuer": "https://localhost:1", "client_id": "laptop", "dpop": kind == "DPoP"}
    Logins(folder(os.environ)).write(name, new(words, granted, key))


def test_the_token_of_a_login_is_all_that_is_printed() -> None:
    keep()
    keep(name="work")
    assert run() == ("the-token\n", "")
    assert run("--login", "work") == ("the-token\n", "")
    assert run("headers", "GET", "https://ml.example/x") == ("Authorization: Bearer the-token\n", "")


def test_a_token_that_curl_cannot_prove_is_not_printed() -> None:
    keep("DPoP")
    with pytest.raises(UserError, match="bound to a key"):
        run()
    shown, _ = run("headers", "post", "https://ml.example/x")
    assert shown.startswith("Authorization: DPoP the-token\nDPoP: ey")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nobody has logged in as 'default'"),
        (("--login", "work"), "nobody has logged in as 'work'"),
        (("--login", "../x"), "not a name of a login"),
        (("--scope", "x"), "--scope is for a client's credentials"),
        (("--issuer", ISSUER), "--client-id is missing"),
        ((*WHO, "--login", "work"), "two ways to get a token"),
        (("--issuer", "http://id.example", "--client-id", "bot"), "use https"),
        ((*WHO, "--key", "x"), "--certificate and --key go together"),
        ((*WHO, "--auth", "tls_client_auth"), "needs a certificate"),
        ((*WHO, "--auth", "private_key_jwt"), "name its file"),
        ((*WHO, "--auth", "none", "--client-secret-file", "-"), "none takes no secret"),
        ((*WHO, "--auth", "client_secret_post"), "NIGHTLATCH_CLIENT_SECRET is not set"),
        ((*WHO, "--client-secret-file", "/nowhere"), "cannot read the secret in /nowhere"),
        (("login",), "--issuer is missing"),
        (("login", *WHO, "--client-secret-file", "-"), "has to name a file"),
        (("login", *WHO, "--login", "a/b"), "not a name of a login"),
        (("--scope", "x", "login", *WHO), "options come after"),
        (("headers", "GET", "https://ml.example/"), "nobody has logged in"),
    ],
)
def test_wrong_use_says_what_to_do(arguments, said: str, monkeypatch) -> None:
    # The secret is read once the provider is known.
    monkeypatch.setattr("nightlatch_client.exchange.Exchange._discover", lambda *_: _Everything())
    with pytest.raises(UserError) as raised:
        run(*arguments)
    assert said in raised.value.message


class _Everything:
    def endpoint(self, name: str, **_: Any) -> str:
        return f"https://localhost:1/{name}"


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        ((), "", PublicClient()),
        ((), "s", ClientSecretBasic(Variable("NIGHTLATCH_CLIENT_SECRET"))),
        (("--client-secret-file", "/secret"), "", ClientSecretBasic(Path("/secret"))),
        (("--client-secret-file", "/s", "--auth", "client_secret_post"), "", ClientSecretPost(Path("/s"))),
        (("--private-key-file", "/key"), "", PrivateKeyJwt(Path("/key"))),
        (("--private-key-file", "/key"), "s", PrivateKeyJwt(Path("/key"))),
        (("--certificate", "/c", "--key", "/k"), "", TlsClientAuth()),
        (("--certificate", "/c", "--key", "/k", "--auth", "none"), "", PublicClient()),
    ],
)
def test_how_the_client_proves_itself_follows_from_what_is_given(arguments, variable, expected, monkeypatch) -> None:
    if variable:
        monkeypatch.setenv("NIGHTLATCH_CLIENT_SECRET", variable)
    words = described(*arguments)
    assert client_of(words).authentication == expected
    assert "s" not in words.values()


def test_files_are_remembered_by_their_absolute_paths(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert described("--ca", "ca.crt")["ca"] == str(tmp_path / "ca.crt")
    assert described("--client-secret-file", "s")["secret_file"] == str(tmp_path / "s")


def test_a_secret_may_come_from_standard_input(monkeypatch) -> None:
    seen: list[Client] = []

    class Seen(Tokens):
        def __init__(self, client: Client) -> None:
            seen.append(client)
            raise UserError("seen")

    monkeypatch.setattr(token, "Tokens", Seen)
    with pytest.raises(UserError, match="seen"):
        run(*WHO, "--client-secret-file", "-", stdin="from-stdin\n")
    assert reveal(seen[0].authentication.secret) == "from-stdin"


def test_no_option_takes_a_secret_itself() -> None:
    below = [token.command, *token.command.commands.values()]
    names = {
        name for each in below for option in each.params if isinstance(option, click.Option) for name in option.opts
    }
    secret = {name for name in names if any(word in name for word in ("secret", "password", "token", "private"))}
    assert secret == {"--client-secret-file", "--private-key-file"}


def test_a_login_is_gone_although_the_provider_cannot_be_told() -> None:
    keep()
    with pytest.raises(UserError, match="gone from here, but not revoked: ConnectError"):
        run("logout")
    assert Logins(folder(os.environ)).read("default") is None
    assert "nobody was logged in" in run("logout")[1]


def test_a_file_that_others_can_read_is_removed_by_logging_out() -> None:
    keep()
    Logins(folder(os.environ)).path("default").chmod(0o644)
    with pytest.raises(UserError, match="others can read"):
        run()
    with pytest.raises(UserError, match="not revoked"):
        run("logout")
    assert Logins(folder(os.environ)).read("default") is None
