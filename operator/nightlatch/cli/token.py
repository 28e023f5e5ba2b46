"""`nightlatch token`: access tokens for curl and scripts, by a client's credentials or by somebody's login."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nightlatch.embedded.errors import UserError
from nightlatch_client import logged_in
from nightlatch_client.answers import Granted, clean
from nightlatch_client.authentication import ClientSecretBasic, ClientSecretPost
from nightlatch_client.client import Client
from nightlatch_client.device import Invitation, log_in
from nightlatch_client.errors import GrantRefusedError, TokenError
from nightlatch_client.exchange import Exchange
from nightlatch_client.logins import Logins, folder
from nightlatch_client.signing import SigningKey
from nightlatch_client.state import Refused
from nightlatch_client.surroundings import Surroundings
from nightlatch_client.tokens import Tokens

_SECRET_VARIABLE = "NIGHTLATCH_CLIENT_SECRET"  # noqa: S105 - its name
_WITH_SECRET = {each.method: each for each in (ClientSecretBasic, ClientSecretPost)}
_STANDARD_INPUT = "-"
_METHODS = (*_WITH_SECRET, "private_key_jwt", "tls_client_auth", "none")
_FILE = click.Path(dir_okay=False, path_type=Path)

_login = click.option(
    "--login", "name", default="default", show_default=True, metavar="NAME", help="Which login, if you have several."
)
_CLIENT_OPTIONS = (
    click.option("--issuer", metavar="URL", help="The provider, exactly as its tokens say it."),
    click.option("--client-id", metavar="ID", help="The client, as the provider knows it."),
    click.option(
        "--auth",
        type=click.Choice(_METHODS),
        help="How the client proves who it is. Default: client_secret_basic, private_key_jwt or tls_client_auth, "
        "by what is given.",
    ),
    click.option(
        "--client-secret-file",
        metavar="FILE",
        help=f"The file with the client's secret, or - for standard input. Default: the variable `{_SECRET_VARIABLE}`.",
    ),
    click.option("--private-key-file", type=_FILE, metavar="FILE", help="The key for private_key_jwt, PEM."),
    click.option("--certificate", type=_FILE, metavar="FILE", help="The client's certificate for mTLS, PEM."),
    click.option("--key", type=_FILE, metavar="FILE", help="The certificate's key, PEM."),
    click.option(
        "--ca", type=_FILE, metavar="FILE", help="The CA of the provider's certificate. Default: the system's."
    ),
    click.option("--scope", metavar="WORDS", help="The scope to ask for, words with spaces between."),
    click.option("--audience", metavar="TEXT", help="Whom the tokens are for, where a provider takes `audience`."),
    click.option("--resource", metavar="URL", help="Whom the tokens are for, where a provider takes `resource`."),
    click.option(
        "--dpop", is_flag=True, help="Bind tokens to a key (DPoP). Use `headers`, because curl makes no proofs."
    ),
)


def _client_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_CLIENT_OPTIONS):
        command = option(command)
    return command


@click.group("token", invoke_without_command=True)
@_client_options
@_login
@click.pass_context
def command(context: click.Context, /, name: str, **given: Any) -> None:
    """Print an access token to standard output: that of a login, or with --issuer one by a client's credentials.

    A login's token is renewed when it is due. Secrets come from files, standard input or the environment, because
    arguments are in the list of processes. In a shell, keep the token out of that list too:

    nightlatch token headers GET URL | curl -H @- URL
    """
    if context.invoked_subcommand is not None:
        if any(given.values()):
            raise UserError("options come after the name of the command", "see `nightlatch token --help`", code=2)
        return
    with _said():
        token = _tokens(name, given).renewed()
    if token.kind == "DPoP":
        raise UserError(
            "this token is bound to a key, and worth nothing without proofs",
            "use `nightlatch token headers METHOD URL | curl -H @- -X METHOD URL`",
        )
    click.echo(token.value)


@command.command("headers")
@click.argument("method")
@click.argument("url")
@_client_options
@_login
def headers(method: str, url: str, name: str, **given: Any) -> None:
    """Print the headers for one request, METHOD to URL, as `curl -H @-` takes them."""
    with _said():
        tokens = _tokens(name, given)
        for header, text in tokens.headers(tokens.renewed(), method, url).items():
            click.echo(f"{header}: {text}")


@command.command("login")
@_client_options
@_login
def login(name: str, **given: Any) -> None:
    """Log in with a browser, on this machine or another (device flow, RFC 8628).

    The login is kept in $XDG_STATE_HOME/nightlatch/logins (~/.local/state), in a file that you alone can read. Ask
    for the scope `offline_access` where a provider ends logins that do not have it.
    """
    if given["client_secret_file"] == _STANDARD_INPUT:
        raise UserError("a login reads the secret again later: --client-secret-file has to name a file", code=2)
    around, logins = Surroundings(), Logins(folder(os.environ))
    with _said():
        described = _described(given)
        client = logged_in.client_of(described)
        logins.path(name)
        key = SigningKey.generate() if client.dpop else None
        granted = log_in(Exchange(client, key=key, surroundings=around), _show, around)
        if not isinstance(granted, Granted):
            error = granted.error if isinstance(granted, Refused) else ""
            said = granted.description if isinstance(granted, Refused) else granted.reason
            raise UserError(_refusal(client.issuer, error, said), "nobody is logged in")
        with logins.alone(name):
            logins.write(name, logged_in.new(described, granted, key))
    click.echo(f"logged in as {name!r} at {client.issuer}", err=True)
    if granted.refresh_token is None:
        click.echo("  the provider gave no refresh token: the login ends with its first token", err=True)


@command.command("logout")
@_login
def logout(name: str) -> None:
    """Forget a login, after the provider has revoked it where it can (RFC 7009)."""
    logins = Logins(folder(os.environ))
    with _said():
        try:
            said = logged_in.revoke(logins, name)
        except TokenError as error:
            said = str(error)
        found = logins.path(name).exists()
        logins.remove(name)
    if not found:
        click.echo(f"nobody was logged in as {name!r}", err=True)
    elif said:
        raise UserError(f"the login {name!r} is gone from here, but not revoked: {said}", "revoke it at the provider")
    else:
        click.echo(f"logged out of {name!r}", err=True)


def _tokens(name: str, given: dict[str, Any]) -> Tokens:
    if given["issuer"] is None:
        if extra := [f"--{option.replace('_', '-')}" for option, value in given.items() if value]:
            raise UserError(
                f"{extra[0]} is for a client's credentials", "say --issuer as well, or only --login", code=2
            )
        return logged_in.tokens_of_login(name)
    if name != "default":
        raise UserError("--login and --issuer are two ways to get a token", "leave one out", code=2)
    return Tokens(_client(given))


def _client(given: dict[str, Any]) -> Client:
    described = _described(given)
    if given["client_secret_file"] != _STANDARD_INPUT:
        return logged_in.client_of(described)
    method = _WITH_SECRET.get(described["method"])
    if method is None:
        raise UserError(f"{described['method']} takes no secret", "leave --client-secret-file out", code=2)
    client = logged_in.client_of({**described, "method": "none", "secret_file": None})
    return replace(client, authentication=method(sys.stdin.read()))


def _described(given: dict[str, Any]) -> dict[str, Any]:
    """The client in the words of `logged_in.client_of`: files by absolute paths, and no secret."""
    for option in ("issuer", "client_id"):
        if not given[option]:
            raise UserError(f"--{option.replace('_', '-')} is missing", "see `nightlatch token --help`", code=2)
    if (given["certificate"] is None) != (given["key"] is None):
        raise UserError("--certificate and --key go together", code=2)
    method = given["auth"] or _guessed(given)
    described = {
        "issuer": given["issuer"],
        "client_id": given["client_id"],
        "method": method,
        "dpop": given["dpop"],
        **{each: given[each] or "" for each in ("scope", "audience", "resource")},
        "ca": _absolute(given["ca"]),
        "key_file": _absolute(given["private_key_file"]),
    }
    if given["certificate"] is not None:
        described["certificate"] = [_absolute(given["certificate"]), _absolute(given["key"])]
    if method in _WITH_SECRET:
        file = given["client_secret_file"]
        described |= {"secret_file": _absolute(Path(file))} if file else {"secret_variable": _SECRET_VARIABLE}
    return described


def _guessed(given: dict[str, Any]) -> str:
    if given["client_secret_file"] or (os.environ.get(_SECRET_VARIABLE) and not given["private_key_file"]):
        return ClientSecretBasic.method
    if given["private_key_file"]:
        return "private_key_jwt"
    return "tls_client_auth" if given["certificate"] else "none"


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _show(invitation: Invitation) -> None:
    click.echo(f"Open {invitation.address} in a browser, and enter the code", err=True)
    click.echo(f"\n    {click.style(invitation.user_code, bold=True)}\n", err=True)
    if invitation.complete:
        click.echo(f"or open {invitation.complete}", err=True)
    click.echo(f"Waiting for up to {invitation.lasts_s / 60:.0f} minutes …", err=True)


def _refusal(issuer: str, error: str, said: str) -> str:
    return str(GrantRefusedError(issuer, error, said)) if error else f"{issuer}: {clean(said)}"


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What the client says is for the user as it is."""
    try:
        yield
    except TokenError as error:
        raise UserError(str(error)) from None
