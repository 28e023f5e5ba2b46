"""Speaks to a provider for one client: discovery, authentication, proofs, and the two reasons to ask once more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from nightlatch_client import answers, metadata, proof
from nightlatch_client.answers import Granted, Reply
from nightlatch_client.authentication import Circumstances
from nightlatch_client.client import Client
from nightlatch_client.errors import InsecureUrlError, ProviderMismatchError
from nightlatch_client.instant import Instant
from nightlatch_client.metadata import Metadata
from nightlatch_client.servers import Servers
from nightlatch_client.signing import SigningKey
from nightlatch_client.state import Failure, Mismatch, Unavailable
from nightlatch_client.surroundings import Surroundings
from nightlatch_client.transport import Session, Transport, UnreachableError

_METADATA_LASTS_S = 3600.0
# Codes by which providers refuse an assertion or a proof whose times they do not like.
_MAY_BE_THE_CLOCK = frozenset({"invalid_client", "invalid_dpop_proof", "invalid_request"})


@dataclass(frozen=True, slots=True)
class Answered:
    """asked_at: just before the request was sent. secrets: what was in it."""

    reply: Reply
    asked_at: Instant
    secrets: tuple[str, ...]


class Exchange:
    """key: for proofs; None without DPoP. Not to be used by two threads at once."""

    def __init__(
        self,
        client: Client,
        *,
        key: SigningKey | None = None,
        servers: Servers | None = None,
        surroundings: Surroundings | None = None,
        over: httpx.BaseTransport | None = None,
    ) -> None:
        self.client = client
        self.key = key
        self.servers = servers or Servers()
        self._around = surroundings or Surroundings()
        self._transport = Transport(client.ca, client.certificate, over)
        self._metadata: tuple[Metadata, Instant] | None = None

    def grant(self, parameters: Mapping[str, str]) -> Granted | Failure:
        """A token by these parameters of a token request (`grant_type` and its own)."""
        answered = self.ask("token_endpoint", parameters)
        if not isinstance(answered, Answered):
            return answered
        secrets = (*answered.secrets, parameters.get("refresh_token", ""), parameters.get("device_code", ""))
        return answers.read(answered.reply, answered.asked_at, dpop=self.key is not None, secrets=secrets)

    def ask(self, endpoint: str, parameters: Mapping[str, str]) -> Answered | Unavailable | Mismatch:
        """Post to an endpoint, with the client's authentication. Raises TokenError where a secret cannot be read."""
        issuer = self.client.issuer
        try:
            with self._transport.session() as session:
                known = self._discover(session)
                url = known.endpoint(endpoint, shows_certificate=self.client.certificate is not None)
                if url is None:
                    return Mismatch(f"{issuer} has no {endpoint}")
                return self._post(session, url, parameters)
        except UnreachableError as error:
            # Its endpoints may have moved.
            self._metadata = None
            return Unavailable(str(error))
        except (ProviderMismatchError, InsecureUrlError) as error:
            return Mismatch(str(error))

    def _post(self, session: Session, url: str, parameters: Mapping[str, str]) -> Answered:
        reasons: set[str] = set()
        while True:
            answered = self._post_once(session, url, parameters)
            reason = self._reason_to_repeat(url, answered)
            if reason is None or reason in reasons:
                return answered
            reasons.add(reason)

    def _post_once(self, session: Session, url: str, parameters: Mapping[str, str]) -> Answered:
        asked_at = self._around.now()
        at = self.servers.time(url, asked_at.wall_s)
        given = Circumstances(self.client.client_id, self.client.issuer, at, self._around.unique)
        proven = self.client.authentication.prove(given)
        headers = dict(proven.headers)
        if self.key is not None:
            headers["DPoP"] = signed_proof(self.key, self.servers, self._around, "POST", url)
        reply = session.post(url, {**parameters, **proven.form}, headers)
        return Answered(reply, asked_at, proven.secrets)

    def _reason_to_repeat(self, url: str, answered: Answered) -> str | None:
        reply = answered.reply
        nonce, clock = self.servers.learn(url, reply.headers, self._around.now().wall_s)
        if reply.status in (400, 401):
            if nonce and self.key is not None and reply.error == "use_dpop_nonce":
                return "nonce"
            if clock and reply.error in _MAY_BE_THE_CLOCK:
                return "clock"
        return None

    def _discover(self, session: Session) -> Metadata:
        now = self._around.now()
        if self._metadata is not None and now.since(self._metadata[1]) < _METADATA_LASTS_S:
            return self._metadata[0]
        try:
            found = metadata.read(self._document(session), self.client.issuer)
        except UnreachableError:
            if self._metadata is None:
                raise
            found = self._metadata[0]
        self._metadata = (found, now)
        return found

    def _document(self, session: Session) -> Any:
        reply = None
        for address in metadata.addresses(self.client.issuer):
            reply = session.get(address)
            self.servers.learn(address, reply.headers, self._around.now().wall_s)
            if reply.status == 200:
                return reply.document
            if reply.status == 429 or reply.status >= 500:
                break
        raise UnreachableError(f"its discovery document answers {reply.status if reply else 'nothing'}")


def signed_proof(
    key: SigningKey, servers: Servers, around: Surroundings, method: str, url: str, token: str | None = None
) -> str:
    """A proof of possession for one request."""
    claims = proof.claims(
        method,
        url,
        at=servers.time(url, around.now().wall_s),
        jti=around.unique(),
        nonce=servers.nonce(url),
        token=token,
    )
    return key.sign({"typ": "dpop+jwt", "jwk": key.public}, claims)
