"""`nightlatch renew`: asks for new certificates, with the annotation that plain kubectl can write."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from nightlatch.api import names
from nightlatch.api.conditions import ClientCondition, EndpointCondition, find
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, Kind, NamespacedName, RawObject
from nightlatch.cli import place, subject
from nightlatch.cli.wait import Done, DurationType, Impossible, Pending, until
from nightlatch.embedded.errors import UserError
from nightlatch.planning.client.certificate import certificate_secret_name
from nightlatch.planning.parsed import read_client
from nightlatch.store.protocol import ConflictError

_ATTEMPTS = 5


@click.command("renew")
@click.argument("named", metavar="ic/NAME|ie/NAME")
@click.option("--wait", is_flag=True, help="Return when the new certificates are there.")
@click.option(
    "--timeout", type=DurationType(), default="60s", show_default=True, metavar="DURATION", help="How long to wait."
)
@place.place_options
def command(
    named: str,
    wait: bool,
    timeout: float,
    namespace: str | None,
    state_dir: Path,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Issue the certificates of an InferenceClient or an InferenceEndpoint again now, with new private keys.

    The certificate before stays valid until it ends. To have it refused as well, because its key leaked, write its
    digest into `certificate.revokedDigests` of the client.

    Acts on the `nightlatch up` whose state directory is here, and otherwise on the cluster that kubectl would use;
    --state-dir, --kubeconfig and --context name another. The same with plain kubectl:

    kubectl annotate --overwrite ic/NAME nightlatch.dev/renew="$(date +%s)"
    """
    asked = place.wanted(state_dir, kubeconfig, context)
    asyncio.run(_renew(asked, named, namespace, timeout if wait else None))


async def _renew(asked: place.Wanted, named: str, namespace: str | None, timeout_s: float | None) -> None:
    kind, name = subject.parse(named)
    if kind not in (INFERENCE_CLIENT, INFERENCE_ENDPOINT):
        raise UserError(f"{kind.kind} {name} has no certificates", "name a client or an endpoint, as ic/NAME", code=2)
    async with place.opened(asked) as where:
        key = NamespacedName(namespace or where.namespace, name)
        for _ in range(_ATTEMPTS):
            before = await subject.find(where, kind, key)
            _refuse(kind, before)
            try:
                await where.annotate(before, names.ANNOTATION_RENEW, datetime.now(UTC).isoformat())
            except ConflictError:
                continue
            break
        else:
            raise ConflictError(f"{kind.kind} {key} keeps changing; try again")
        click.echo(f"{kind.kind} {key} in {where}: new certificates are asked for")
        if kind == INFERENCE_CLIENT:
            secret = certificate_secret_name(read_client(before))
            click.echo(f"  callers find theirs in Secret {secret.name if secret else ''}, entries tls.crt and tls.key")
        if not where.is_running:
            click.echo("  `nightlatch up` is not running there: it happens when it starts")
        if timeout_s is not None:
            if not where.is_running:
                raise UserError("cannot wait: `nightlatch up` is not running", "what was asked for is kept")
            known = serials(before)
            click.echo(await until(where.store, kind, before, lambda raw: judge(raw, known), timeout_s))


def _refuse(kind: Kind, raw: RawObject) -> None:
    """Raise UserError for a client that has no certificate of ours."""
    if kind != INFERENCE_CLIENT:
        return
    client = read_client(raw)
    wanted = client.spec.certificate if client.spec else None
    if client.spec is not None and wanted is None:
        raise UserError(
            f"InferenceClient {client.key} has no certificate", "give it one with `certificate: {}` in its spec"
        )


def serials(raw: RawObject) -> Mapping[str, str]:
    """The serial number of each certificate in the status, by its role."""
    status = raw.get("status") or {}
    listed = status.get("certificates") or ()
    own = status.get("certificate")
    return {each["role"]: each["serial"] for each in listed} | ({"client": own["serial"]} if own else {})


def judge(raw: RawObject, known: Mapping[str, str]) -> Done | Pending | Impossible:
    """Whether every certificate has another serial number than the known."""
    now = serials(raw)
    old = sorted(role for role, serial in known.items() if now.get(role) == serial)
    if now and not old:
        return Done("renewed: " + ", ".join(f"{role} has serial number {serial}" for role, serial in now.items()))
    conditions = read_client(raw).status.conditions
    for kind in (ClientCondition.ACCEPTED, ClientCondition.CREDENTIALS_READY, EndpointCondition.CERTIFICATES_READY):
        found = find(conditions, kind)
        if found is not None and found.status == "False":
            return Pending(found.message)
    return Pending(f"for {', '.join(old) or 'the certificate'}")
