"""A person logs in with a browser, which may be on another device (RFC 8628)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nightlatch_client.answers import Granted, clean, read, seconds
from nightlatch_client.errors import InsecureUrlError
from nightlatch_client.exchange import Answered, Exchange
from nightlatch_client.instant import Instant
from nightlatch_client.metadata import require_tls
from nightlatch_client.state import Failure, Mismatch, Refused, Unavailable
from nightlatch_client.surroundings import Surroundings

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL_S = 5.0
_SLOWER_S = 5.0
_LONGEST_INTERVAL_S = 60.0
# A provider that does not say how long is bound by RFC 8628 to say it; this is what most give.
_LASTS_S = 600.0


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the person is shown. complete: the address with the code in it, empty if there is none."""

    address: str
    user_code: str
    complete: str
    lasts_s: float
    interval_s: float
    device_code: str = field(repr=False)


def log_in(exchange: Exchange, show: Callable[[Invitation], None], around: Surroundings) -> Granted | Failure:
    """Blocks until the person has decided, or the code has expired."""
    answered = exchange.ask("device_authorization_endpoint", exchange.client.wishes())
    if not isinstance(answered, Answered):
        return answered
    if answered.reply.status != 200:
        failure = read(answered.reply, answered.asked_at, dpop=False, secrets=answered.secrets)
        return failure if not isinstance(failure, Granted) else Unavailable("it answers with a token")
    invitation = invited(answered.reply.document)
    if not isinstance(invitation, Invitation):
        return invitation
    show(invitation)
    return _wait(exchange, invitation, answered.asked_at, around)


def invited(document: Any) -> Invitation | Mismatch:
    """Read an answer by RFC 8628, 3.2. Pure."""
    if not isinstance(document, Mapping):
        return Mismatch("its answer for a device is not a JSON object")
    texts = {name: document.get(name) for name in ("device_code", "user_code", "verification_uri")}
    for name, text in texts.items():
        if not isinstance(text, str) or not text or clean(text) != text:
            return Mismatch(f"its answer for a device has no usable {name}")
    complete = document.get("verification_uri_complete")
    complete = complete if isinstance(complete, str) and clean(complete) == complete else ""
    try:
        for address in (str(texts["verification_uri"]), complete):
            if address:
                require_tls(address)
    except InsecureUrlError as error:
        return Mismatch(f"the page for logging in is not safe: {error}")
    interval = seconds(document.get("interval"))
    return Invitation(
        str(texts["verification_uri"]),
        str(texts["user_code"]),
        complete,
        seconds(document.get("expires_in")) or _LASTS_S,
        _INTERVAL_S if interval is None else min(interval, _LONGEST_INTERVAL_S),
        str(texts["device_code"]),
    )


def next_interval(interval_s: float, outcome: Failure) -> float | None:
    """How long to wait before asking again; None if the answer is final. Pure."""
    match outcome:
        case Refused("authorization_pending"):
            return interval_s
        case Refused("slow_down"):
            return interval_s + _SLOWER_S
        case Unavailable(_, retry_after_s):
            # RFC 8628, 3.5: ask less often after a timeout.
            return max(min(interval_s * 2, _LONGEST_INTERVAL_S), interval_s, retry_after_s or 0.0)
    return None


def _wait(exchange: Exchange, invitation: Invitation, begun: Instant, around: Surroundings) -> Granted | Failure:
    interval_s: float | None = invitation.interval_s
    parameters = {"grant_type": _GRANT, "device_code": invitation.device_code, **exchange.client.target()}
    outcome: Granted | Failure = Refused("expired_token", "nobody has decided in time")
    while interval_s is not None and around.now().since(begun) + interval_s < invitation.lasts_s:
        around.sleep(interval_s)
        outcome = exchange.grant(parameters)
        if isinstance(outcome, Granted):
            return outcome
        interval_s = next_interval(interval_s, outcome)
    if isinstance(outcome, Refused) and outcome.error in ("authorization_pending", "slow_down"):
        return Refused("expired_token", "nobody has decided in time")
    return outcome
