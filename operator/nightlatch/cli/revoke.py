"""`nightlatch revoke`: adds keys and certificates to those that a client revokes, beside what others wrote."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path

import click

from nightlatch.api.client import ClientSpec, KeyStatus
from nightlatch.api.conditions import ClientCondition, Reason, find
from nightlatch.api.meta import INFERENCE_CLIENT, NamespacedName, RawObject
from nightlatch.cli import place, subject
from nightlatch.cli.inspection import key_rows
from nightlatch.cli.key_times import secret_name, unix
from nightlatch.cli.table import aligned
from nightlatch.cli.wait import Done, DurationType, Impossible, Pending, until
from nightlatch.embedded.errors import UserError
from nightlatch.planning.client.certificate import certificate_secret_name
from nightlatch.planning.parsed import ParsedClient, read_client
from nightlatch.store.protocol import ConflictError, StoreError

_ATTEMPTS = 5
_ID = re.compile(r"[0-9A-Za-z]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Instead of a digest.
CURRENT = "current"
_WAIT = (
    "Return when every gateway has confirmed that it refuses the keys. Certificates are not confirmed one by one: with "
    "them alone, return when the operator has told the gateways."
)


@click.command("revoke")
@click.argument("client", metavar="ic/NAME")
@click.option(
    "--key",
    "key_ids",
    multiple=True,
    metavar="ID",
    help="The key's id, never the key: the 12 characters between its first two underscores. Can be repeated. "
    "Without it and --certificate, the ids are listed and nothing is revoked.",
)
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    metavar="DIGEST|current",
    help="The SHA-256 of the certificate in hex, or `current` for the one that the client has now. Can be repeated.",
)
@click.option("--wait", is_flag=True, help=_WAIT)
@click.option(
    "--timeout", type=DurationType(), default="60s", show_default=True, metavar="DURATION", help="How long to wait."
)
@place.place_options
def command(
    client: str,
    key_ids: tuple[str, ...],
    certificates: tuple[str, ...],
    wait: bool,
    timeout: float,
    namespace: str | None,
    state_dir: Path,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Refuse API keys and certificates of the InferenceClient NAME from now on, for good, on every gateway.

    A client whose only key or whose newest certificate is revoked gets a new one at once. Ids that others wrote into
    `apiKey.revokedKeyIds`, and digests in `certificate.revokedDigests`, such as those of a manifest, stay. To refuse
    all credentials of a client, set `suspend: true`.

    Acts on the `nightlatch up` whose state directory is here, and otherwise on the cluster that kubectl would use;
    --state-dir, --kubeconfig and --context name another. With plain kubectl, where the list has all ids or digests that
    it should have:

    kubectl patch ic NAME --type=merge -p '{"spec": {"apiKey": {"revokedKeyIds": ["ID"]}}}'

    kubectl patch ic NAME --type=merge -p '{"spec": {"certificate": {"revokedDigests": ["DIGEST"]}}}'
    """
    ids = tuple(dict.fromkeys(key_ids))
    refuse_what_is_no_id(ids)
    digests = tuple(dict.fromkeys(map(digest_of, certificates)))
    asked = place.wanted(state_dir, kubeconfig, context)
    asyncio.run(_revoke(asked, client, namespace, ids, digests, timeout if wait else None))


async def _revoke(
    asked: place.Wanted,
    client: str,
    namespace: str | None,
    ids: tuple[str, ...],
    certificates: tuple[str, ...],
    timeout_s: float | None,
) -> None:
    async with place.opened(asked) as where:
        for _ in range(_ATTEMPTS):
            found = await subject.find_client(where, client, namespace)
            parsed = read_client(found)
            spec = _require_readable(parsed)
            if ids or not certificates:
                _require_keys(parsed, spec)
            if not (ids or certificates):
                raise _no_id_given(parsed)
            digests = named_digests(parsed, certificates)
            await _refuse_unknown(where, parsed, spec, ids)
            await _refuse_anothers(where, parsed, digests)
            new, new_digests = to_write(parsed, ids), digests_to_write(parsed, digests)
            try:
                written = await where.revoke(found, new, new_digests) if new or new_digests else found
            except ConflictError:
                continue
            break
        else:
            raise ConflictError(f"InferenceClient {parsed.key} keeps changing; try again")
        click.echo(f"InferenceClient {parsed.key} in {where}:")
        lines = (*announcement(parsed, ids, time.time()), *announced_certificates(parsed, digests))
        click.echo("\n".join(f"  {line}" for line in lines))
        if not where.is_running:
            click.echo(
                "  `nightlatch up` is not running there, so that no call is answered; it is refused from the start"
            )
        if timeout_s is not None and _names(written, ids, digests):
            if not where.is_running:
                raise UserError("cannot wait: `nightlatch up` is not running", "the revocation is kept")
            generation = written["metadata"]["generation"]
            text = await until(where.store, INFERENCE_CLIENT, written, lambda raw: judge(raw, generation), timeout_s)
            click.echo(text)


def refuse_what_is_no_id(ids: Sequence[str]) -> None:
    """Raise UserError for what does not look like an id. It may be a whole key, so it is not repeated."""
    for given in ids:
        if given.startswith("nl_"):
            raise UserError(
                "--key takes the id of a key, not the key",
                "give only the 12 characters between its first two underscores; what you typed is now in the history "
                "of your shell, so remove it there",
                code=2,
            )
        if not _ID.fullmatch(given):
            raise UserError(
                "--key takes the id of a key: 12 letters and digits",
                "`nightlatch inspect ic/NAME` shows the ids",
                code=2,
            )


def digest_of(given: str) -> str:
    """The digest as the API has it: lower-case hex, without the colons that openssl writes. Raises UserError.

    What is no digest may be a secret, so it is not repeated.
    """
    if given == CURRENT:
        return given
    digest = given.lower().replace(":", "")
    if not _DIGEST.fullmatch(digest):
        raise UserError(
            "--certificate takes the SHA-256 of a certificate, which is 64 hex digits, or `current`",
            "`openssl x509 -in tls.crt -outform der | sha256sum` prints it",
            code=2,
        )
    return digest


def named_digests(client: ParsedClient, certificates: Sequence[str]) -> tuple[str, ...]:
    """The digests, with that of the newest certificate for `current`. Raises UserError if the client can have none."""
    if not certificates:
        return ()
    if client.spec is None or client.spec.certificate is None:
        raise UserError(
            f"InferenceClient {client.key} has no certificate; nothing was revoked",
            "a certificate of another CA is refused by access.mtls.revokedDigests of the endpoint",
        )
    newest = client.status.certificate.sha256 if client.status.certificate else ""
    if CURRENT in certificates and not newest:
        raise UserError(f"InferenceClient {client.key} has no certificate yet; nothing was revoked")
    return tuple(dict.fromkeys(newest if each == CURRENT else each for each in certificates))


def digests_to_write(client: ParsedClient, digests: Sequence[str]) -> tuple[str, ...]:
    """The digests that are not refused already."""
    certificate = client.spec.certificate if client.spec else None
    return tuple(each for each in digests if certificate is None or each not in certificate.revoked_digests)


def announced_certificates(client: ParsedClient, digests: Sequence[str]) -> list[str]:
    """What will happen, in lines: one for each digest, and what follows for the client."""
    new = digests_to_write(client, digests)
    lines = [
        f"certificate {each} is refused from now on"
        if each in new
        else f"certificate {each} is in spec.certificate.revokedDigests already"
        for each in digests
    ]
    secret, newest = certificate_secret_name(client), client.status.certificate
    if new and secret is not None and newest is not None:
        if newest.sha256 in new:
            lines.append(f"the client gets a new one, in Secret {secret.name}: its callers must read it again")
        else:
            lines.append(f"callers with certificate {newest.sha256} notice nothing")
    return lines


def _names(client: RawObject, ids: Sequence[str], digests: Sequence[str]) -> bool:
    """Whether the spec has one of these, so that the operator will say something about it."""
    spec = client["spec"]
    named = {*(spec.get("apiKey") or {}).get("revokedKeyIds", ())}
    named |= {*(spec.get("certificate") or {}).get("revokedDigests", ())}
    return not named.isdisjoint((*ids, *digests))


def to_write(client: ParsedClient, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids that are not refused for good already."""
    named = set(client.spec.api_key.revoked_key_ids) if client.spec and client.spec.api_key else set()
    ended = {key.id for key in client.status.keys if key.state == "Revoked"}
    return tuple(each for each in ids if each not in named | ended)


def announcement(client: ParsedClient, ids: Sequence[str], now: float) -> list[str]:
    """What will happen, in lines: one for each id, and what follows for the client."""
    keys = {key.id: key for key in client.status.keys}
    new = to_write(client, ids)
    lines = [_told(keys.get(each), each, is_new=each in new) for each in ids]
    left = [key for key in client.status.keys if key.state in ("Current", "Next") and key.id not in ids]
    if new and not left:
        expires = unix(client.spec.api_key.expires_at) if client.spec and client.spec.api_key else None
        if expires is not None and expires <= now:
            lines.append("the client gets no new key, because spec.apiKey.expiresAt has passed")
        else:
            lines.append(f"the client gets a new key, in Secret {secret_name(client)}: its callers must read it again")
    elif new and all(keys[each].state == "Previous" for each in new if each in keys):
        lines.append(f"callers with {left[0].id} notice nothing")
    return lines


def _told(key: KeyStatus | None, key_id: str, *, is_new: bool) -> str:
    if is_new:
        return f"{key_id} ({key.state if key else 'unknown'}) is refused from now on"
    if key is not None and key.state == "Revoked":
        return f"{key_id} is refused already{f', since {key.expires_at}' if key.expires_at else ''}"
    return f"{key_id} is in spec.apiKey.revokedKeyIds already"


def judge(raw: RawObject, generation: int) -> Done | Pending | Impossible:
    """Whether every gateway has confirmed what the spec of this generation, or a later one, revokes."""
    condition = find(read_client(raw).status.conditions, ClientCondition.REVOKED)
    if condition is None or condition.observed_generation < generation:
        return Pending("for the operator to see the revocation")
    if condition.status == "True":
        return Done(condition.message)
    if condition.reason == Reason.UNKNOWN_KEY_ID:
        return Impossible(
            condition.message, "the ids that you gave are revoked, but this hides whether they are confirmed"
        )
    return Pending(condition.message)


def _require_readable(client: ParsedClient) -> ClientSpec:
    if client.spec is None:
        raise UserError(f"InferenceClient {client.key}: {client.rejection.message if client.rejection else ''}")
    return client.spec


def _require_keys(client: ParsedClient, spec: ClientSpec) -> None:
    if spec.api_key is None:
        raise UserError(
            f"InferenceClient {client.key} has no API key",
            "its certificates are revoked with --certificate; to refuse all its credentials: set spec.suspend to true, "
            "or delete it",
        )


def _no_id_given(client: ParsedClient) -> UserError:
    if not client.status.keys:
        return UserError(f"InferenceClient {client.key} has no keys yet", "nothing was revoked", code=2)
    rows = aligned(key_rows(client.status.keys, time.time()))
    listed = "\n       ".join(rows)
    return UserError(
        f"say which key of InferenceClient {client.key} with --key ID:\n       {listed}",
        "nothing was revoked; to refuse all credentials of the client: set spec.suspend to true",
        code=2,
    )


async def _refuse_unknown(where: place.Place, client: ParsedClient, spec: ClientSpec, ids: Sequence[str]) -> None:
    """Raise UserError if the client never had one of the keys; it says whose key it is."""
    known = {key.id for key in client.status.keys} | set(spec.api_key.revoked_key_ids if spec.api_key else ())
    unknown = [each for each in ids if each not in known]
    if not unknown:
        return
    live = ", ".join(f"{key.id} ({key.state})" for key in client.status.keys if key.state != "Revoked") or "none"
    owners = await _owners(where, client.key.namespace, unknown)
    whose = "; ".join(f"{key_id} is a key of InferenceClient {owner}" for key_id, owner in owners.items())
    raise UserError(
        f"InferenceClient {client.key} has no key {', '.join(unknown)}; nothing was revoked",
        whose or f"its live keys are {live}; a key that ended long ago is refused, and no longer listed",
    )


async def _refuse_anothers(where: place.Place, client: ParsedClient, digests: Sequence[str]) -> None:
    """Raise UserError for the certificate of another client: a client's list counts against that client alone."""
    for other in map(read_client, await _all_clients(where, client.key.namespace) if digests else ()):
        newest = other.status.certificate
        if newest is not None and newest.sha256 in digests and other.key != client.key:
            raise UserError(
                f"certificate {newest.sha256} is one of InferenceClient {other.key}; nothing was revoked",
                f"`nightlatch revoke ic/{other.key.name} -n {other.key.namespace} --certificate {newest.sha256}`",
            )


async def _owners(where: place.Place, namespace: str, ids: Sequence[str]) -> dict[str, NamespacedName]:
    clients = await _all_clients(where, namespace)
    held = {key["id"]: NamespacedName.of(each) for each in clients for key in _keys(each)}
    return {key_id: held[key_id] for key_id in ids if key_id in held}


async def _all_clients(where: place.Place, namespace: str) -> Sequence[RawObject]:
    """Those of all namespaces, or of this one where the user may not list more; none if not even that."""
    for scope in (None, namespace):
        try:
            return (await where.store.list(INFERENCE_CLIENT, namespace=scope)).items
        except StoreError:
            continue
    return ()


def _keys(client: RawObject) -> list[RawObject]:
    return (client.get("status") or {}).get("keys") or []
