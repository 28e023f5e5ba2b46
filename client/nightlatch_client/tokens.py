"""One source of tokens for all threads and event loops of a process: however many wait, the provider is asked once."""

import asyncio
import logging
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol

from nightlatch_client import metadata, proof, state
from nightlatch_client.answers import Granted
from nightlatch_client.client import Client
from nightlatch_client.errors import (
    GrantRefusedError,
    LoginNeededError,
    ProviderMismatchError,
    ProviderUnavailableError,
    TokenError,
)
from nightlatch_client.exchange import Exchange, signed_proof
from nightlatch_client.servers import Servers
from nightlatch_client.signing import SigningKey
from nightlatch_client.state import Failure, LoginNeeded, Mismatch, Refused, State, Token, Unavailable
from nightlatch_client.surroundings import Surroundings

log = logging.getLogger(__name__)
# A library says nothing where a program has not set up logging.
log.addHandler(logging.NullHandler())


class Source(Protocol):
    """Where tokens come from, asked by one thread at a time. key: what they are bound to.

    first: the token that is there already. must_finish: the program must not end while this is asked.
    """

    issuer: str
    servers: Servers
    key: SigningKey | None
    first: Token | None
    must_finish: bool

    def next(self, refused: str | None) -> Token | Failure:
        """Another token. refused: the value of one that is not to be given again."""
        ...


class ClientCredentials:
    """Tokens for a program, by RFC 6749, 4.4."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.issuer = exchange.client.issuer
        self.servers = exchange.servers
        self.key = exchange.key
        self.first: Token | None = None
        self.must_finish = False

    def next(self, refused: str | None) -> Token | Failure:  # noqa: ARG002 - the provider makes a new one each time
        wishes = self._exchange.client.wishes()
        granted = self._exchange.grant({"grant_type": "client_credentials", **wishes})
        return granted.token if isinstance(granted, Granted) else granted


class Tokens:
    """Tokens of a client by its own credentials, or of another source, such as a login."""

    def __init__(self, of: Client | Source, *, surroundings: Surroundings | None = None) -> None:
        self._around = surroundings or Surroundings()
        self._source = self._credentials(of) if isinstance(of, Client) else of
        self._known = State()
        first = self._source.first
        if first is not None:
            self._known = state.after(self._known, first, self._around.now(), self._around.chance())
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._flight: Future[None] | None = None
        self._process = os.getpid()

    def _credentials(self, client: Client) -> Source:
        key = SigningKey.generate() if client.dpop else None
        return ClientCredentials(Exchange(client, key=key, surroundings=self._around))

    # --- a token

    def token(self, refused: str | None = None) -> Token:
        """A token that has not expired. refused: one that a server has refused; another is asked for.

        Raises TokenError. Asks the provider if need be; while a token is only about to expire, in the background.
        """
        found = self._begin(refused)
        if isinstance(found, Token):
            return found
        found.result()
        return self._end(refused)

    def another(self, refused: Token) -> Token | None:
        """The token to repeat a call with that a server has refused; None if there is no other.

        Raises GrantRefusedError: a grant that was revoked shows as itself.
        """
        try:
            found = self.token(refused.value)
        except ProviderUnavailableError:
            # The token is not over, so the server's answer says more.
            return None
        return found if found.value != refused.value else None

    async def another_async(self, refused: Token) -> Token | None:
        """The same without blocking the event loop."""
        try:
            found = await self.token_async(refused.value)
        except ProviderUnavailableError:
            return None
        return found if found.value != refused.value else None

    async def token_async(self, refused: str | None = None) -> Token:
        """The same without blocking the event loop."""
        found = self._begin(refused)
        if isinstance(found, Token):
            return found
        # Others wait for the same answer: whoever gives up waiting does not end it.
        await asyncio.shield(asyncio.wrap_future(found))
        return self._end(refused)

    def renewed(self) -> Token:
        """A token as `token` gives it, for a program that ends soon: a renewal that is due is waited for."""
        found = self.token()
        with self._guard():
            flight = self._flight
        if flight is None:
            return found
        flight.result()
        return self._end(None)

    def __call__(self) -> str:
        """The text of a token, as the openai package takes it for its `api_key`."""
        return self.token().value

    # --- how a token is presented

    def headers(self, token: Token, method: str, url: str) -> dict[str, str]:
        """What a request needs. Raises InsecureUrlError for an address of another machine without TLS."""
        metadata.require_tls(url)
        headers = {"Authorization": f"{token.kind} {token.value}"}
        if token.kind == "DPoP" and self._source.key is not None:
            headers["DPoP"] = signed_proof(
                self._source.key, self._source.servers, self._around, method, url, token.value
            )
        return headers

    def learn(self, url: str, headers: Mapping[str, str]) -> tuple[bool, bool]:
        """Take note of what a server says in its answer. Returns whether its nonce, and its clock, are news."""
        return self._source.servers.learn(url, headers, self._around.now().wall_s)

    def deserves_proof(self, token: Token, challenge: str, *, news: tuple[bool, bool]) -> bool:
        """Whether the same token with another proof may do: the server wants its nonce, or our clock was wrong."""
        nonce, clock = news
        return token.kind == "DPoP" and (clock or (nonce and proof.asks_for_nonce(challenge)))

    def worth_replacing(self, token: Token) -> bool:
        """Whether another token may do better at a server that has refused this one."""
        with self._guard():
            return state.worth_replacing(self._known, token.value, self._around.now())

    # --- asking once for all

    def _begin(self, refused: str | None) -> Token | Future[None]:
        with self._guard():
            found = state.decide(self._known, self._around.now(), refused)
            if isinstance(found, state.Fail):
                raise self._error(found.failure)
            if isinstance(found, state.Use):
                if found.renew and self._flight is None:
                    self._ask(None)
                return found.token
            return self._flight or self._ask(refused)

    def _end(self, refused: str | None) -> Token:
        with self._guard():
            found = state.settled(self._known, self._around.now(), refused)
        if isinstance(found, state.Fail):
            raise self._error(found.failure)
        return found.token

    def _guard(self) -> threading.Lock:
        if self._process != os.getpid():
            # A fork has our memory, but not the thread that asks.
            self._start()
        return self._lock

    def _ask(self, refused: str | None) -> Future[None]:
        flight: Future[None] = Future()
        self._flight = flight
        thread = threading.Thread(target=self._fly, args=(flight, refused), name="nightlatch-token")
        thread.daemon = not self._source.must_finish
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending, and starts no threads any more.
            self._flight = None
            raise ProviderUnavailableError("the program is ending: no more tokens are asked for") from None
        return flight

    def _fly(self, flight: Future[None], refused: str | None) -> None:
        outcome = self._outcome(refused)
        with self._lock:
            self._known = state.after(self._known, outcome, self._around.now(), self._around.chance())
            pause_s = self._known.pause_s
            self._flight = None
        try:
            if not isinstance(outcome, Token):
                # Whoever reads it may have any format, so nothing is in fields alone.
                log.warning("%s; the next try is in %.1f s at the soonest", self._error(outcome), pause_s)
        finally:
            flight.set_result(None)

    def _outcome(self, refused: str | None) -> Token | Failure:
        try:
            return self._source.next(refused)
        except TokenError as error:
            # A secret that cannot be read may be there the next time.
            return Unavailable(str(error))
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it
            return Unavailable(f"{type(error).__name__} while asking for a token")

    def _error(self, failure: Failure) -> TokenError:
        issuer = self._source.issuer
        match failure:
            case Refused(error, description):
                return GrantRefusedError(issuer, error, description)
            case Unavailable(reason):
                return ProviderUnavailableError(f"no token of {issuer}: {reason}")
            case Mismatch(reason):
                return ProviderMismatchError(reason)
            case LoginNeeded(reason):
                return LoginNeededError(reason)
