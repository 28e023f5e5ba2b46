"""What `inspect` shows: the facts as JSON, and tables made of the same facts. Pure: the time is an argument.

No key and no digest is among them: neither is in a status.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nightlatch.api.client import KeyStatus
from nightlatch.api.conditions import EndpointCondition, find
from nightlatch.api.endpoint import EndpointStatus
from nightlatch.api.meta import Condition, NamespacedName
from nightlatch.cli.key_times import last_use, next_event, secret_name, unix
from nightlatch.cli.table import age, aligned
from nightlatch.planning.access.grants import requested_grants
from nightlatch.planning.client.certificate import certificate_secret_name
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint

KEY_COLUMNS = ("KEY", "STATE", "AGE", "NEXT EVENT", "LAST USE")
Facts = dict[str, Any]


# Facts


def client_facts(client: ParsedClient, endpoints: Mapping[NamespacedName, ParsedEndpoint], now: float) -> Facts:
    """endpoints: those that the client names, as far as they exist and may be read."""
    spec = client.spec
    api_key = spec.api_key if spec else None
    return {
        "kind": client.kind,
        "namespace": client.key.namespace,
        "name": client.key.name,
        "suspended": bool(spec and spec.suspend),
        "secretName": secret_name(client) if api_key else None,
        "rotateEvery": api_key.rotate_every if api_key else None,
        "overlapSeconds": api_key.overlap_seconds if api_key else None,
        "keys": key_facts(client.status.keys, now),
        "certificate": certificate_facts(client),
        "endpoints": [
            {
                "namespace": named.namespace,
                "name": named.name,
                "permissions": sorted(permissions),
                "found": named in endpoints,
                "state": endpoints[named].status.state if named in endpoints else None,
                "gateways": gateway_facts(endpoints[named].status) if named in endpoints else None,
            }
            for named, permissions in sorted(named_permissions(client).items())
        ],
        "conditions": condition_facts(client.status.conditions),
    }


def endpoint_facts(endpoint: ParsedEndpoint, clients: Iterable[ParsedClient], now: float) -> Facts:
    """clients: all of them; those that name the endpoint are shown."""
    naming = [(client, named_permissions(client)) for client in sorted(clients, key=lambda client: client.key)]
    return {
        "kind": endpoint.kind,
        "namespace": endpoint.key.namespace,
        "name": endpoint.key.name,
        "url": endpoint.status.url,
        "state": endpoint.status.state,
        "gateways": gateway_facts(endpoint.status),
        "clients": [
            {
                "namespace": client.key.namespace,
                "name": client.key.name,
                "suspended": bool(client.spec and client.spec.suspend),
                "permissions": sorted(named[endpoint.key]),
                "keys": key_facts((key for key in client.status.keys if key.state != "Revoked"), now),
                "certificate": certificate_facts(client),
                "conditions": condition_facts(client.status.conditions),
            }
            for client, named in naming
            if endpoint.key in named
        ],
        "certificates": [each.model_dump(by_alias=True) for each in endpoint.status.certificates],
        "conditions": condition_facts(endpoint.status.conditions),
    }


def named_permissions(client: ParsedClient) -> Mapping[NamespacedName, frozenset[str]]:
    """What the client asks for on each endpoint, also while it is suspended."""
    if client.spec is None:
        return {}
    return requested_grants(replace(client, spec=client.spec.model_copy(update={"suspend": False})))


def key_facts(keys: Iterable[KeyStatus], now: float) -> list[Facts]:
    """The status of each key, and in words what happens to it next."""
    known = tuple(keys)
    return [
        {**key.model_dump(by_alias=True, exclude_none=True), "nextEvent": next_event(key, known, now)} for key in known
    ]


def certificate_facts(client: ParsedClient) -> Facts | None:
    """The client's certificate, where it is and what is revoked; None if it has and wants none."""
    wanted, status = client.spec.certificate if client.spec else None, client.status.certificate
    if wanted is None and status is None:
        return None
    secret = certificate_secret_name(client)
    return {
        **(status.model_dump(by_alias=True) if status else {}),
        "secretName": secret.name if secret else None,
        "revokedDigests": list(wanted.revoked_digests) if wanted else [],
    }


def gateway_facts(status: EndpointStatus) -> Facts | None:
    """How many gateways there are, have applied the newest configuration, and do not report."""
    return status.gateways.model_dump(by_alias=True) if status.gateways else None


def condition_facts(conditions: Iterable[Condition]) -> list[Facts]:
    """The conditions. Where a gateway lacks something, their messages name it."""
    return [each.model_dump(by_alias=True) for each in conditions]


# Tables


def client_text(client: ParsedClient, facts: Facts, now: float) -> str:
    """Blocks of lines: what it is, its keys, its endpoints, its conditions."""
    head = [_ready(client.status.conditions)]
    if facts["suspended"]:
        head.append("suspended: every credential is refused")
    if facts["secretName"]:
        head.append(f"the key is in Secret {facts['secretName']}, entry api-key; {_rotation(facts)}")
    endpoints = [
        ["ENDPOINT", "PERMISSIONS", "STATE", "GATEWAYS"],
        *(
            [
                f"{each['namespace']}/{each['name']}",
                ",".join(each["permissions"]),
                each["state"] or ("" if each["found"] else "(not found)"),
                _gateways(each["gateways"]) if each["found"] else "",
            ]
            for each in facts["endpoints"]
        ),
    ]
    keys = aligned(key_rows(client.status.keys, now)) if client.status.keys else ["no API keys"]
    if facts["certificate"] and not facts["secretName"]:
        keys = []
    certificate = _certificate(client, facts["certificate"], now) if facts["certificate"] else []
    granted = aligned(endpoints) if facts["endpoints"] else ["no endpoints: add one to spec.endpoints"]
    return _blocks(head, keys, certificate, granted, _conditions(client.status.conditions))


def _certificate(client: ParsedClient, facts: Facts, now: float) -> list[str]:
    status = client.status.certificate
    revoked = [f"certificate {each} is revoked" for each in facts["revokedDigests"]]
    if status is None:
        return [f"no certificate yet; it will be in Secret {facts['secretName']}", *revoked]
    rows = [
        ["CERTIFICATE", "SERIAL", "ENDS", "RENEWED"],
        [status.identity, status.serial, _when(status.not_after, now), _when(status.renew_at, now)],
    ]
    return [*aligned(rows), f"its digest is {status.sha256}; it is in Secret {facts['secretName']}", *revoked]


def endpoint_text(endpoint: ParsedEndpoint, facts: Facts, clients: Iterable[ParsedClient], now: float) -> str:
    """Blocks of lines: what it is, who may call with which keys, its certificates, its conditions."""
    status = endpoint.status
    head = [
        _ready(status.conditions),
        f"{status.url or 'no address yet'}   {status.state or ''}".rstrip(),
        f"gateways: {_gateways(facts['gateways'])}",
    ]
    by_key = {client.key: client for client in clients}
    rows = [["CLIENT", "PERMISSIONS", *KEY_COLUMNS]]
    for each in facts["clients"]:
        key = NamespacedName(each["namespace"], each["name"])
        live = [status for status in by_key[key].status.keys if status.state != "Revoked"]
        permissions = "none: suspended" if each["suspended"] else ",".join(each["permissions"])
        first_cells = [str(key), permissions]
        cells_of_key = key_rows(live, now)[1:]
        certificate = by_key[key].status.certificate
        if certificate is not None:
            renewed = f"renewed {_when(certificate.renew_at, now)}"
            cells_of_key.append(["certificate", f"ends {_when(certificate.not_after, now)}", "", renewed, ""])
        for cells in cells_of_key or [["none", "", "", "", ""]]:
            rows.append([*first_cells, *cells])
            first_cells = ["", ""]
    certificates = [
        ["CERTIFICATE", "SERIAL", "ENDS", "RENEWED"],
        *(
            [each.role, each.serial, _when(each.not_after, now), _when(each.renew_at, now)]
            for each in status.certificates
        ),
    ]
    return _blocks(
        head,
        aligned(rows) if len(rows) > 1 else ["no client names this endpoint, so nobody can call it"],
        aligned(certificates) if status.certificates else [],
        _conditions(status.conditions),
    )


def key_rows(keys: Sequence[KeyStatus], now: float) -> list[list[str]]:
    """The header and a row for each key."""
    return [
        list(KEY_COLUMNS),
        *(
            [
                key.id,
                key.state,
                age(now - (unix(key.created_at) or now)),
                next_event(key, keys, now),
                last_use(key, now),
            ]
            for key in keys
        ),
    ]


def _blocks(*blocks: Sequence[str]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _ready(conditions: Iterable[Condition]) -> str:
    ready = find(conditions, EndpointCondition.READY)
    if ready is None:
        return "not Ready: the operator has not seen it yet"
    said = EndpointCondition.READY if ready.status == "True" else f"not {EndpointCondition.READY}"
    return f"{said} ({ready.reason}): {ready.message}"


def _rotation(facts: Facts) -> str:
    every = f"a new one every {facts['rotateEvery']}" if facts["rotateEvery"] else "a new one when it is asked for"
    return f"{every}, and the one before works for {age(facts['overlapSeconds'])} more"


def _gateways(gateways: Facts | None) -> str:
    if not gateways:
        return "none has reported"
    silent = f"; {gateways['disconnected']} silent" if gateways["disconnected"] else ""
    return f"{gateways['applied']} of {gateways['members']} have the newest configuration{silent}"


def _when(time: str, now: float) -> str:
    at = unix(time) or now
    return f"in {age(at - now)}" if at > now else f"{age(now - at)} ago"


def _conditions(conditions: Sequence[Condition]) -> list[str]:
    if not conditions:
        return []
    shown = [each for each in conditions if each.type != EndpointCondition.READY]
    rows = [[each.type, each.status, each.reason, each.message] for each in shown]
    return aligned([["CONDITION", "STATUS", "REASON", "MESSAGE"], *rows])
