"""`nightlatch rotate`: asks for a new API key, with the annotation that plain kubectl can write."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from nightlatch.api.client import ApiKey
from nightlatch.api.conditions import ClientCondition, Reason, find
from nightlatch.api.meta import INFERENCE_CLIENT, RawObject
from nightlatch.api.names import ANNOTATION_ROTATE
from nightlatch.cli import place, subject
from nightlatch.cli.key_times import first, secret_name, unix
from nightlatch.cli.table import age
from nightlatch.cli.wait import Done, DurationType, Impossible, Pending, until
from nightlatch.embedded.errors import UserError
from nightlatch.planning.parsed import ParsedClient, read_client
from nightlatch.store.protocol import ConflictError

_ATTEMPTS = 5


@click.command("rotate")
@click.argument("client", metavar="ic/NAME")
@click.option("--wait", is_flag=True, help="Return when the new key is Current: every gateway accepts it.")
@click.option(
    "--timeout", type=DurationType(), default="60s", show_default=True, metavar="DURATION", help="How long to wait."
)
@place.place_options
def command(
    client: str,
    wait: bool,
    timeout: float,
    namespace: str | None,
    state_dir: Path,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Give the InferenceClient NAME a new API key now. The key before works on for `apiKey.overlap`.

    Acts on the `nightlatch up` whose state directory is here, and otherwise on the cluster that kubectl would use;
    --state-dir, --kubeconfig and --context name another. The same with plain kubectl:

    kubectl annotate --overwrite ic/NAME nightlatch.dev/rotate="$(date +%s)"
    """
    asked = place.wanted(state_dir, kubeconfig, context)
    asyncio.run(_rotate(asked, client, namespace, timeout if wait else None))


async def _rotate(asked: place.Wanted, client: str, namespace: str | None, timeout_s: float | None) -> None:
    async with place.opened(asked) as where:
        for _ in range(_ATTEMPTS):
            before = await subject.find_client(where, client, namespace)
            parsed = read_client(before)
            _refuse(parsed, timeout_s)
            try:
                await where.annotate(before, ANNOTATION_ROTATE, datetime.now(UTC).isoformat())
            except ConflictError:
                continue
            break
        else:
            raise ConflictError(f"InferenceClient {parsed.key} keeps changing; try again")
        click.echo(f"InferenceClient {parsed.key} in {where}: a new key is asked for")
        click.echo("\n".join(f"  {line}" for line in announcement(parsed, time.time())))
        if not where.is_running:
            click.echo("  `nightlatch up` is not running there: it happens when it starts")
        if timeout_s is not None:
            _require_running(where)
            known = frozenset(key.id for key in parsed.status.keys)
            text = await until(where.store, INFERENCE_CLIENT, before, lambda raw: judge(raw, known), timeout_s)
            click.echo(text)


def _refuse(client: ParsedClient, timeout_s: float | None) -> None:
    """Raise UserError before anything is written."""
    now = time.time()
    if (reason := obstacle(client, now)) is not None:
        raise UserError(reason.text, reason.hint)
    starts_in = begins_in(client, now)
    if timeout_s is not None and starts_in > timeout_s:
        raise UserError(
            f"the new key cannot come in {timeout_s:g} s: {announcement(client, now)[0]}",
            "leave --wait out, or wait longer with --timeout; nothing was written",
        )


def _require_running(where: place.Place) -> None:
    if not where.is_running:
        raise UserError(
            "cannot wait: `nightlatch up` is not running", "what was asked for is kept, and happens when it starts"
        )


def obstacle(client: ParsedClient, now: float) -> Impossible | None:
    """Why the client gets no new key, whatever is asked for; None if it does."""
    name = f"InferenceClient {client.key}"
    accepted = find(client.status.conditions, ClientCondition.ACCEPTED)
    credentials = find(client.status.conditions, ClientCondition.CREDENTIALS_READY)
    if client.spec is None or client.rejection is not None:
        return Impossible(f"{name} is not accepted: {client.rejection.message if client.rejection else ''}")
    if client.spec.api_key is None:
        return Impossible(f"{name} has no API key", "give it one with `apiKey: {}` in its spec")
    if client.spec.suspend:
        return Impossible(
            f"{name} is suspended, so that every key of it is refused", "set spec.suspend to false first, then rotate"
        )
    expires = unix(client.spec.api_key.expires_at)
    if expires is not None and expires <= now:
        return Impossible(
            f"spec.apiKey.expiresAt of {name} has passed, {age(now - expires)} ago: no key of it works",
            "write a later time, or remove the field; then rotate",
        )
    if accepted is not None and accepted.status == "False":
        return Impossible(f"{name} is not accepted: {accepted.message}")
    if credentials is not None and credentials.reason == Reason.SECRET_CONFLICT:
        return Impossible(f"{name} gets no key: {credentials.message}")
    return None


def begins_in(client: ParsedClient, now: float) -> float:
    """Seconds until the new key is made, at least. At most two keys are live at a time."""
    keys = client.status.keys
    previous = first(keys, "Previous")
    if previous is not None:
        return max((unix(previous.expires_at) or now) - now, 0.0)
    return _overlap_s(client) if first(keys, "Next") and first(keys, "Current") else 0.0


def announcement(client: ParsedClient, now: float) -> list[str]:
    """What will happen, in lines. The first says when."""
    keys, overlap = client.status.keys, _overlap_s(client)
    previous, following, current = first(keys, "Previous"), first(keys, "Next"), first(keys, "Current")
    if previous is not None:
        when = f"it is made in {age(begins_in(client, now))}, when the overlap ends and {previous.id} is refused"
        early = f"to end the overlap now: nightlatch revoke ic/{client.key.name} --key {previous.id}"
        lines = [when, f"{early} -n {client.key.namespace}"]
    elif following is not None and current is not None:
        lines = [f"a rotation is under way: {following.id} is Next; the new key is made when its overlap has ended"]
    elif current is None and following is None:
        lines = ["the client has no key yet: this is its first"]
    else:
        lines = ["it is made now"]
    lines.append(f"callers find it in Secret {secret_name(client)}, entry api-key, once every gateway accepts it")
    if current is not None:
        lines.append(
            f"the key before works for {age(overlap)} more (spec.apiKey.overlap)"
            if overlap > 0
            else "the key before is refused at that moment (spec.apiKey.overlap is 0s)"
        )
    return lines


def judge(raw: RawObject, known: frozenset[str]) -> Done | Pending | Impossible:
    """Whether the client has a Current key that is not one of the known."""
    client = read_client(raw)
    current = first(client.status.keys, "Current")
    if current is not None and current.id not in known:
        previous = first(client.status.keys, "Previous")
        rest = f"; {previous.id} works until {previous.expires_at}" if previous and previous.expires_at else ""
        return Done(f"{current.id} is Current: every gateway accepts it{rest}")
    found = obstacle(client, time.time())
    if found is not None:
        return found
    credentials = find(client.status.conditions, ClientCondition.CREDENTIALS_READY)
    waits = credentials is not None and credentials.reason == Reason.ROTATING
    return Pending(credentials.message if credentials and waits else "for the new key to be made")


def _overlap_s(client: ParsedClient) -> float:
    spec = client.spec.api_key if client.spec else None
    return (spec or ApiKey()).overlap_seconds
