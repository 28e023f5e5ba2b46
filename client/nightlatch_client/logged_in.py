"""Tokens of somebody who has logged in: they come from the login's file, and are renewed for all processes at once."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from nightlatch_client import authentication
from nightlatch_client.answers import Granted
from nightlatch_client.authentication import Authentication
from nightlatch_client.client import Client
from nightlatch_client.errors import LoginNeededError, TokenError
from nightlatch_client.exchange import Answered, Exchange
from nightlatch_client.instant import Instant
from nightlatch_client.logins import Login, Logins, folder
from nightlatch_client.secret import Variable
from nightlatch_client.servers import Servers
from nightlatch_client.signing import SigningKey
from nightlatch_client.state import Failure, LoginNeeded, Refused, Token
from nightlatch_client.surroundings import Surroundings
from nightlatch_client.tokens import Tokens
from nightlatch_client.transport import Certificate

# As `state` renews at latest: another process has renewed a token that is younger.
_FRESH_SHARE = 0.6
_WITH_SECRET = {each.method: each for each in (authentication.ClientSecretBasic, authentication.ClientSecretPost)}


def tokens_of_login(name: str = "default", environment: Mapping[str, str] | None = None) -> Tokens:
    """The tokens of whoever has logged in by `nightlatch token login` on this machine. Raises TokenError."""
    return Tokens(LoggedIn(Logins(folder(environment if environment is not None else os.environ)), name))


class LoggedIn:
    """The tokens of one login. Raises LoginNeededError if nobody has logged in."""

    def __init__(
        self,
        logins: Logins,
        name: str = "default",
        *,
        surroundings: Surroundings | None = None,
        over: httpx.BaseTransport | None = None,
    ) -> None:
        self._logins = logins
        self._name = name
        self._around = surroundings or Surroundings()
        login = logins.read(name)
        if login is None:
            raise LoginNeededError(f"nobody has logged in as {name!r}: nightlatch token login --login {name}")
        self.client = client_of(login.client)
        self.issuer = self.client.issuer
        self.servers = Servers()
        # Whoever ends while the refresh token is exchanged may lose the login.
        self.must_finish = True
        self.first: Token | None = token_of(login, self._around.now())
        self.key = SigningKey.of_jwk(login.key) if login.key is not None else None
        self._exchange = Exchange(self.client, key=self.key, servers=self.servers, surroundings=self._around, over=over)

    def next(self, refused: str | None) -> Token | Failure:
        """The token of the file, if it is fresh; otherwise a new one by the refresh token."""
        with self._logins.alone(self._name):
            login = self._logins.read(self._name)
            if login is None or client_of(login.client) != self.client:
                return LoginNeeded(f"somebody has logged out of {self._name!r}, or in elsewhere")
            kept = token_of(login, self._around.now())
            if kept.value != refused and _is_fresh(kept, self._around.now()):
                return kept
            if login.refresh_token is None:
                return LoginNeeded(f"the login {self._name!r} has expired, and {self.issuer} gave no refresh token")
            return self._renew(login)

    def _renew(self, login: Login) -> Token | Failure:
        parameters = {"grant_type": "refresh_token", "refresh_token": login.refresh_token or ""}
        outcome = self._exchange.grant(parameters | self.client.target())
        if isinstance(outcome, Granted):
            self._logins.write(self._name, kept(login, outcome))
            return outcome.token
        if isinstance(outcome, Refused) and outcome.error == "invalid_grant":
            # The refresh token is good for nothing any more; which login it was stays known.
            said = outcome.description or "it has expired, or was revoked"
            return Refused(outcome.error, f"{said} (log in again: nightlatch token login)")
        return outcome


def revoke(logins: Logins, name: str, over: httpx.BaseTransport | None = None) -> str:
    """Tell the provider that a login is over (RFC 7009). Returns why it could not be told; empty if it was."""
    login = logins.read(name)
    if login is None or login.refresh_token is None:
        return ""
    client = client_of(login.client)
    exchange = Exchange(client, over=over)
    answered = exchange.ask("revocation_endpoint", {"token": login.refresh_token, "token_type_hint": "refresh_token"})
    if not isinstance(answered, Answered):
        return answered.reason
    return "" if answered.reply.status == 200 else f"{client.issuer} answers {answered.reply.status}"


def kept(login: Login, granted: Granted) -> Login:
    """The login with what the provider gave; it may keep its refresh token."""
    token = granted.token
    return replace(
        login,
        access_token=token.value,
        kind=token.kind,
        asked_at=token.asked_at.wall_s,
        lifetime_s=token.lifetime_s,
        refresh_token=granted.refresh_token or login.refresh_token,
    )


def new(described: dict[str, Any], granted: Granted, key: SigningKey | None) -> Login:
    """described: the client, as `client_of` reads it."""
    login = Login(described, "", "", 0.0, None, key=key.private() if key is not None else None)
    return kept(login, granted)


def token_of(login: Login, now: Instant) -> Token:
    """The access token as it was kept. It is as old as the wall clock says."""
    age = max(0.0, now.wall_s - login.asked_at)
    return Token(login.access_token, login.kind, Instant(now.monotonic_s - age, now.wall_s - age), login.lifetime_s)


def client_of(described: dict[str, Any]) -> Client:
    """Make a client of words: those of Client, with `method`, and `secret_file`, `secret_variable` or `key_file`.

    Raises TokenError.
    """
    try:
        words = dict(described)
        certificate, ca = words.pop("certificate", None), words.pop("ca", None)
        method = words.pop("method", "none")
        proof = {name: words.pop(name, None) for name in ("secret_file", "secret_variable", "key_file")}
        return Client(
            **words,
            authentication=_authentication(method, **proof),
            certificate=Certificate(*map(Path, certificate)) if certificate else None,
            ca=Path(ca) if ca else None,
        )
    except TypeError:
        raise TokenError("the client of this login cannot be read: log in again") from None


def _authentication(
    method: str, *, secret_file: str | None, secret_variable: str | None, key_file: str | None
) -> Authentication:
    if method in _WITH_SECRET:
        if secret_file is None and secret_variable is None:
            raise TokenError(f"{method} needs a secret: name its file")
        return _WITH_SECRET[method](Path(secret_file) if secret_file else Variable(secret_variable or ""))
    if method == "private_key_jwt":
        if key_file is None:
            raise TokenError("private_key_jwt needs a key: name its file")
        return authentication.PrivateKeyJwt(Path(key_file))
    if method == "tls_client_auth":
        return authentication.TlsClientAuth()
    if method == "none":
        return authentication.PublicClient()
    raise TokenError(f"unknown method of authentication {method[:40]!r}")


def _is_fresh(token: Token, now: Instant) -> bool:
    if token.lifetime_s is None:
        return True
    return now.since(token.asked_at) < token.lifetime_s * _FRESH_SHARE
