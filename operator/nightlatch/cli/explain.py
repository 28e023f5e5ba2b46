"""`nightlatch explain`: why a credential would be allowed or denied at an endpoint, by the gate's own code."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from nightlatch.api import names
from nightlatch.api.client import KeyStatus
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET, NamespacedName
from nightlatch.cli import explain_program, explanation, place, subject
from nightlatch.cli.explain_question import Presented, QuestionError, Request, question, request_for
from nightlatch.embedded.errors import UserError
from nightlatch.gatekeeper.documents import Documents
from nightlatch.gatekeeper.gate_state import GateState, gate_ir
from nightlatch.pki.material import PkiError
from nightlatch.pki.shown import Shown, read_shown
from nightlatch.planning.parsed import read_client
from nightlatch.routing.ir import TO_STDOUT
from nightlatch.store.protocol import StoreError
from nightlatch.wire.route_document import RouteDocument, accepts_certificates

# The longest token that the gate reads is 16 KiB; a chain has a few certificates.
_LONGEST = 1 << 20
_STDIN = "-"
ALLOWED, DENIED, CANNOT_SAY = 0, 1, 2
_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@dataclass(frozen=True, slots=True)
class _Given:
    """The contents of the files."""

    api_key: str | None = field(repr=False)
    token: str | None = field(repr=False)
    certificate: bytes | None = field(repr=False)


@click.command("explain")
@click.argument("endpoint")
@click.option(
    "--api-key-file", "api_key", type=_FILE, metavar="FILE", help="A file with an API key; - for standard input."
)
@click.option(
    "--token-file", "token", type=_FILE, metavar="FILE", help="A file with a JSON Web Token; - for standard input."
)
@click.option(
    "--certificate",
    type=_FILE,
    metavar="FILE",
    help="A file with a client certificate and its intermediates (PEM); - for standard input. No private key is read.",
)
@click.option(
    "--operation",
    default="infer",
    show_default=True,
    metavar="OPERATION",
    help="What to call: infer, metadata, health, metrics, or a method and a path, as 'POST /v1/embeddings'.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print it.",
)
@click.option(
    "--gateway-namespace",
    metavar="NAMESPACE",
    default=names.DEFAULT_GATEWAY_NAMESPACE,
    show_default=True,
    help="The namespace of the gateways, whose Secrets say what the gates know.",
)
@place.place_options
def command(
    endpoint: str,
    api_key: Path | None,
    token: Path | None,
    certificate: Path | None,
    operation: str,
    output: str,
    gateway_namespace: str,
    namespace: str | None,
    state_dir: Path,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Say why a call to the InferenceEndpoint ENDPOINT with these credentials would be allowed or denied.

    A refused caller learns nothing but 401; this is for the administrator. It reads the Secrets that the gateways
    read, and runs the gate's own code on them here. The credentials are read from files or standard input, and leave
    this machine neither whole nor as a digest. With several, the call carries all of them.

    Rate limits are not evaluated, and nothing is called. Acts on the `nightlatch up` whose state directory is here,
    and otherwise on the cluster that kubectl would use, where you need the right to list Secrets in the gateways'
    namespace; --state-dir, --kubeconfig and --context name another.

    The exit status is 0 if the call would be allowed, 1 if it would be denied, and 2 if that cannot be said.
    """
    try:
        program = explain_program.program()
        given = _read(api_key, token, certificate)
        asked = place.wanted(state_dir, kubeconfig, context)
        shown, where = asyncio.run(_explain(asked, program, given, endpoint, namespace, operation, gateway_namespace))
    except UserError as error:
        raise UserError(error.message, error.hint, code=CANNOT_SAY) from error
    except StoreError as error:
        hint = f"explaining needs to list Secrets in namespace {gateway_namespace}"
        raise UserError(str(error), hint, code=CANNOT_SAY) from error
    click.echo(json.dumps(shown, indent=2) if output == "json" else explanation.text(shown, where, time.time()))
    sys.exit(ALLOWED if shown["decision"] == "allow" else DENIED)


def _read(api_key: Path | None, token: Path | None, certificate: Path | None) -> _Given:
    if [api_key, token, certificate].count(Path(_STDIN)) > 1:
        raise UserError("only one credential can come from standard input", "put the others into files")
    return _Given(
        _text(api_key, "API key"),
        _text(token, "token"),
        None if certificate is None else _content(certificate, "certificate"),
    )


def _text(path: Path | None, what: str) -> str | None:
    if path is None:
        return None
    # A line end is how files end, and no part of a credential.
    content = _content(path, what).strip()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise UserError(f"the file with the {what} is empty or holds no text: {path}", "name the right file")
    return text


def _content(path: Path, what: str) -> bytes:
    try:
        if path == Path(_STDIN):
            content = sys.stdin.buffer.read(_LONGEST + 1)
        else:
            with path.open("rb") as file:
                content = file.read(_LONGEST + 1)
    except OSError as error:
        raise UserError(f"cannot read the {what}: {error.strerror}: {path}", "name the right file") from None
    if len(content) > _LONGEST:
        raise UserError(f"the file with the {what} is longer than {_LONGEST >> 20} MiB: {path}", "name the right file")
    return content


async def _explain(
    asked: place.Wanted,
    program: Path,
    given: _Given,
    endpoint: str,
    namespace: str | None,
    operation: str,
    gateway_namespace: str,
) -> tuple[explanation.Facts, str]:
    async with place.opened(asked) as where:
        key = NamespacedName(namespace or where.namespace, endpoint.removeprefix("ie/"))
        await subject.find(where, INFERENCE_ENDPOINT, key)
        documents = Documents(where.store, gateway_namespace, lambda _: None, time.monotonic)
        documents.take((await where.store.list(SECRET, namespace=gateway_namespace)).items)
        document = _document(documents, key)
        keys = await _keys(where) if given.api_key is not None else {}
        said_where = str(where)
    request = _request(operation, document)
    now = datetime.now(UTC)
    shown, asks = _shown(given.certificate, document, now), asks_for_certificates(document)
    presented = Presented(given.api_key, given.token, shown.note if shown else "")
    told = explain_program.answer(program, question(document, _gate(documents), request, presented))
    known = explanation.Known(
        issuers={str(name): each for name, each in documents.issuers.items()},
        keys=keys,
        handshake_fault=shown.fault if shown else "",
        certificate_given=given.certificate is not None,
        asks_for_certificates=asks,
    )
    return explanation.facts(told, str(request), known, now.timestamp()), said_where


def _document(documents: Documents, key: NamespacedName) -> RouteDocument:
    """The endpoint's document. Raises UserError if there is none that this version reads."""
    secret, found = names.route_document(key), documents.routes.get(key)
    problem = documents.unreadable.get(secret)
    # What is only damaged in part is in use all the same.
    if problem and (found is None or secret in documents.too_new):
        raise UserError(
            f"the document of {key} cannot be read here: {problem}", "use the nightlatch of the release that wrote it"
        )
    if found is None:
        raise UserError(
            f"the gateways have no document of {key}, and answer 404 for its host",
            f"its conditions say why: see `nightlatch inspect ie/{key.name} -n {key.namespace}`",
        )
    return found


def _request(operation: str, document: RouteDocument) -> Request:
    try:
        return request_for(operation, document.operations)
    except QuestionError as error:
        raise UserError(str(error), "choose another with --operation") from None


def asks_for_certificates(document: RouteDocument) -> bool:
    """Whether a caller of the endpoint is asked for a certificate: without, none reaches the gate."""
    return accepts_certificates(document) and bool(document.client_ca)


def _shown(certificate: bytes | None, document: RouteDocument, now: datetime) -> Shown | None:
    if certificate is None:
        return None
    try:
        return read_shown(certificate, document.client_ca, now=now) if asks_for_certificates(document) else None
    except PkiError as error:
        raise UserError(f"the certificate is {error}", "name a PEM file with the certificate first") from None


def _gate(documents: Documents) -> bytes:
    """The configuration of the filter, with no end: how fresh a gateway is, only the gateway knows."""
    try:
        from nightlatch.routing.xds.native_module import gate_value  # noqa: PLC0415 - protobuf, for this verb alone
    except ImportError:
        raise UserError(
            "explaining needs the packages of a gateway", "run `pip install 'nightlatch[gateway]'`"
        ) from None
    state = GateState(documents.revocations, issuers=documents.sorted_issuers())
    return gate_value(replace(gate_ir(state), valid_until=None), TO_STDOUT)


async def _keys(where: place.Place) -> Mapping[str, tuple[NamespacedName, KeyStatus]]:
    """The keys of all clients by id, as far as the user may see them. Never a key."""
    try:
        clients = map(read_client, (await where.store.list(INFERENCE_CLIENT)).items)
        return {key.id: (client.key, key) for client in clients for key in client.status.keys}
    except StoreError as error:
        click.echo(f"what clients' statuses say of the key is not known: {error}", err=True)
        return {}
