"""CPU per call and calls per second of the gateway, beside plain Envoy TLS proxying in the same run.

The same Envoy binary with one worker, the same upstream, the same calls; rounds interleave the rows.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compiled import Endpoint, Running, endpoint, gateway
from cpu import cpu_seconds, machine, resident_mib
from envoys import UPSTREAM_IDENTITY, Authorities, envoy, free_port, plain_proxy, upstream
from load import Generator, Target, generator, request
from table import markdown, median, percentile
from tokens import ALGORITHMS, REMEMBERED, Signers, certificate_digest, document_members, signers

from nightlatch.api.names import gateway_identity
from nightlatch.api_keys.api_key import mint

PLAIN_HOST = "plain.bench.localhost"
PATH = "/v1/embeddings"
# So many that each is forgotten before it comes again: a part of the gate's memory has a share of all tokens.
_NEW_TOKENS = 4 * REMEMBERED
_TARGETED = ("RS256", "ES256")
HEADER = [
    "",
    "CPU µs/call",
    "min to max",
    "vs plain",
    "vs plain mTLS",
    "calls/s per core",
    "calls/s seen",
    "seen vs plain",
    "p50 ms",
]
BODY = json.dumps({"model": "m", "input": ["A cat sleeps on the sofa.", "A kitten naps on the couch."]}).encode()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: calls to `target`, answered by process `pid`, all with `status`."""

    name: str
    pid: int
    target: Target
    status: int = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """One row in one round. cpu: microseconds per call. rate: calls per second. p50: milliseconds."""

    cpu: float
    rate: float
    p50: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done. connections: kept alive, each with one call in flight."""

    rounds: int
    calls: int
    connections: int


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=4000, help="per row and round; default: %(default)s")
    parser.add_argument("--connections", type=int, default=16, help="default: %(default)s")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="rows with this text, such as jwt, beside plain Envoy"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(options.rounds, options.calls, options.connections)
    asyncio.run(run(Plan(1, 320, 16) if options.quick else plan, options.only))


async def run(plan: Plan, only: str = "") -> None:
    """Start everything, measure, print. only: the rows that have this text, in upper or lower case."""
    print(f"machine: {machine()}")
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder, generator() as load:
        async with setup(Path(folder), plan.connections) as (all_rows, ours):
            rows = [*all_rows[:2], *(row for row in all_rows[2:] if only.lower() in row.name.lower())]
            measured = await _rounds(rows, plan, load)
            print(_table(rows, measured))
            _print_rest(rows, ours)


@contextlib.asynccontextmanager
async def setup(folder: Path, connections: int) -> AsyncIterator[tuple[list[Row], Running]]:
    """Every Envoy, ready, as rows of the table (the second is plain Envoy with mTLS), and the gateway among them."""
    authorities = Authorities()
    server = authorities.leaf(UPSTREAM_IDENTITY, "server")
    (folder / "ca.crt").write_bytes(server.ca)
    plain_port, tls_port = free_port(), free_port()
    endpoints, tokens = _endpoints(authorities), signers()
    async with contextlib.AsyncExitStack() as stack:
        behind = upstream(plain_port, tls_port, server)
        await stack.enter_async_context(envoy(folder, "upstream", behind, plain_port, tls_port))
        rows = [
            await stack.enter_async_context(_peer(folder, authorities, name, port, connections))
            for name, port in (("plain", plain_port), ("mTLS", tls_port))
        ]
        taking = _taking_tokens(authorities, tokens)
        both = (*endpoints, *taking.values())
        ours = await stack.enter_async_context(gateway(folder, authorities, both, tls_port, gate=tokens.gate))
        rows += _our_rows(ours, endpoints, folder / "ca.crt", connections)
        (logged := folder / "logged").mkdir()
        each = endpoints[1]
        running = await stack.enter_async_context(gateway(logged, authorities, (each,), tls_port, allows_percent=100))
        target = Target(running.port, each.host, folder / "ca.crt", _calls(each, connections))
        rows.append(Row("Nightlatch, 1,000 keys, every call in the audit log", running.pid, target))
        new = {each: tokens.tokens(each, _NEW_TOKENS) for each in ALGORITHMS}
        rows += _token_rows(ours, taking, tokens, new, folder, connections)
        for remembers in (False, True):
            peer = _jwt_authn(folder, authorities, tokens, new, tls_port, connections, remembers=remembers)
            rows += await stack.enter_async_context(peer)
        yield rows, ours


def _endpoints(authorities: Authorities) -> tuple[Endpoint, ...]:
    sizes = [endpoint(f"keys{count}", count, authorities) for count in (10, 1000, 2000)]
    return (*sizes, endpoint("limited", 1000, authorities, limited=True))


def _taking_tokens(authorities: Authorities, tokens: Signers) -> dict[str, Endpoint]:
    """Endpoints that take tokens: alone, with the certificate that they are bound to, or as one of three mechanisms."""
    ca = tokens.pki.trust
    members = {
        "tokens": document_members((("jwt",),)),
        "bound": document_members((("jwt", "mtls"),), ca),
        "three": document_members((("apiKey",), ("mtls",), ("jwt",)), ca),
    }
    return {name: endpoint(name, 10, authorities, more=more) for name, more in members.items()}


@dataclass(frozen=True, slots=True)
class Verifying:
    """An Envoy that verifies tokens, to be called as `host`."""

    name: str
    pid: int
    port: int
    host: str
    ca: Path
    connections: int

    def again(
        self, algorithm: str, tokens: Signers, what: str = "", certificate: Path | None = None, **more: Any
    ) -> Row:
        """Each connection repeats a token of its own, as callers do until it expires. more: claims."""
        raw = _with_tokens(self.host, tokens.tokens(algorithm, self.connections, **more))
        target = Target(self.port, self.host, self.ca, raw, certificate)
        return Row(f"{self.name} {what or f'{algorithm}, the same token again'}", self.pid, target)

    def with_new_tokens(self, algorithm: str, new: Mapping[str, Sequence[str]]) -> Row:
        """No call has a token that is remembered."""
        raw = _with_tokens(self.host, new[algorithm])
        target = Target(self.port, self.host, self.ca, raw, connections=self.connections)
        return Row(f"{self.name} {algorithm}, a new token each call", self.pid, target)


def _token_rows(
    ours: Running,
    taking: Mapping[str, Endpoint],
    tokens: Signers,
    new: Mapping[str, Sequence[str]],
    folder: Path,
    connections: int,
) -> list[Row]:
    shown = tokens.caller()
    certificate = folder / "caller.pem"
    certificate.write_text(shown.chain + shown.key)

    def at(of: str) -> Verifying:
        return Verifying("Nightlatch, JWT", ours.pid, ours.port, taking[of].host, folder / "ca.crt", connections)

    bound = {"cnf": {"x5t#S256": certificate_digest(shown)}}
    return [
        *(at("tokens").again(each, tokens) for each in ALGORITHMS),
        *(at("tokens").with_new_tokens(each, new) for each in ALGORITHMS),
        at("bound").again("ES256", tokens, "ES256 bound to a certificate, again", certificate, **bound),
        at("three").again("ES256", tokens, "ES256 as any of three, again"),
    ]


@contextlib.asynccontextmanager
async def _jwt_authn(
    folder: Path,
    authorities: Authorities,
    tokens: Signers,
    new: Mapping[str, Sequence[str]],
    upstream_port: int,
    connections: int,
    *,
    remembers: bool,
) -> AsyncIterator[list[Row]]:
    """Envoy's own filter, with the same upstream as ours. remembers: with its cache of tokens."""
    port = free_port()
    server = authorities.leaf("spiffe://nightlatch.local/benchmark/jwt", "server", PLAIN_HOST)
    client = authorities.leaf(gateway_identity("nightlatch.local"), "client")
    config = plain_proxy(port, server, upstream_port, client, tokens.jwt_authn(remembers=remembers))
    name = f"Envoy's jwt_authn{' with its cache' if remembers else ''},"
    async with envoy(folder, f"jwt-authn-{remembers}", config, port) as pid:
        peer = Verifying(name, pid, port, PLAIN_HOST, folder / "ca.crt", connections)
        again = [peer.again(each, tokens) for each in (_TARGETED if remembers else ALGORITHMS)]
        yield [*again, *(peer.with_new_tokens(each, new) for each in _TARGETED)]


def _with_tokens(host: str, tokens: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(request("POST", PATH, host, key=each, body=BODY) for each in tokens)


@contextlib.asynccontextmanager
async def _peer(
    folder: Path, authorities: Authorities, behind: str, upstream_port: int, connections: int
) -> AsyncIterator[Row]:
    """Plain Envoy. Its calls carry a key as well, so that the bytes are the same."""
    port = free_port()
    server = authorities.leaf("spiffe://nightlatch.local/benchmark/plain", "server", PLAIN_HOST)
    client = authorities.leaf(gateway_identity("nightlatch.local"), "client") if behind == "mTLS" else None
    raw = request("POST", PATH, PLAIN_HOST, key=_stranger(), body=BODY)
    target = Target(port, PLAIN_HOST, folder / "ca.crt", (raw,) * connections)
    async with envoy(folder, f"peer-{behind}", plain_proxy(port, server, upstream_port, client), port) as pid:
        yield Row(f"plain Envoy, upstream {behind}", pid, target)


def _our_rows(ours: Running, endpoints: Sequence[Endpoint], ca: Path, connections: int) -> list[Row]:
    names = ["10 keys", "1,000 keys", "2,000 keys", "1,000 keys, rate limit"]
    rows = [
        Row(f"Nightlatch, {name}", ours.pid, Target(ours.port, each.host, ca, _calls(each, connections)))
        for name, each in zip(names, endpoints, strict=True)
    ]
    most = endpoints[2]
    for who, key in (("no key", None), ("wrong key", _stranger())):
        target = Target(ours.port, most.host, ca, (request("POST", PATH, most.host, key=key),) * connections)
        rows.append(Row(f"refused with 401: {who}", ours.pid, target, 401))
    return rows


def _calls(endpoint: Endpoint, connections: int) -> tuple[bytes, ...]:
    """Each connection has a client of its own, as far as there are so many."""
    keys = [endpoint.keys[index * len(endpoint.keys) // connections] for index in range(connections)]
    return tuple(request("POST", PATH, endpoint.host, key=key, body=BODY) for key in keys)


def _stranger() -> str:
    """Well formed, and nobody's."""
    return mint(lambda count: bytes(range(count))).text


async def _rounds(rows: list[Row], plan: Plan, load: Generator) -> list[list[Measured]]:
    """By row, then by round. Each round begins with another row."""
    measured: list[list[Measured]] = [[] for _ in rows]
    for number in range(plan.rounds):
        for step in range(len(rows)):
            index = (number + step) % len(rows)
            target = rows[index].target.after(number * (plan.calls + plan.connections))
            measured[index].append(await _measure(replace(rows[index], target=target), plan.calls, load))
    return measured


async def _measure(row: Row, calls: int, load: Generator) -> Measured:
    await load.ready(row.target)
    before = cpu_seconds(row.pid)
    outcome = await load.go(calls)
    cpu = cpu_seconds(row.pid) - before
    if set(outcome.statuses) != {row.status}:
        raise RuntimeError(f"{row.name}: expected {row.status} only, got {outcome.statuses}")
    return Measured(
        cpu / outcome.calls * 1e6, outcome.calls / outcome.seconds, percentile(outcome.latencies, 50) * 1000
    )


def _table(rows: list[Row], measured: list[list[Measured]]) -> str:
    return markdown(HEADER, [_line(row.name, each, measured) for row, each in zip(rows, measured, strict=True)])


def _line(name: str, own: list[Measured], measured: list[list[Measured]]) -> list[str]:
    costs = [each.cpu for each in own]
    plain, mutual = measured[0], measured[1]
    cost = median(costs)
    return [
        name,
        f"{cost:.0f}",
        f"{min(costs):.0f} to {max(costs):.0f}",
        f"{_ratio([each.cpu for each in own], [each.cpu for each in plain]):.2f}",
        f"{_ratio([each.cpu for each in own], [each.cpu for each in mutual]):.2f}",
        f"{1e6 / cost:,.0f}" if cost else "-",
        f"{median([each.rate for each in own]):,.0f}",
        f"{_ratio([each.rate for each in own], [each.rate for each in plain]):.2f}",
        f"{median([each.p50 for each in own]):.1f}",
    ]


def _ratio(own: list[float], peer: list[float]) -> float:
    """The median of the rounds' ratios: what slows a whole round down is in both."""
    ratios = [mine / theirs for mine, theirs in zip(own, peer, strict=True) if theirs]
    return median(ratios) if ratios else float("nan")


def _print_rest(rows: list[Row], ours: Running) -> None:
    print(f"calls that reached Python: {ours.checks}")
    print(
        f"memory after the run: plain Envoy {resident_mib(rows[0].pid):.0f} MiB, "
        f"gateway with 7 endpoints and 4,040 keys {resident_mib(ours.pid):.0f} MiB"
    )


if __name__ == "__main__":
    main()
