"""The model server behind a gateway: it admits the gateway alone and sees no credential of a caller."""

import asyncio
import ssl

import psutil

from nightlatch.api.meta import NamespacedName
from nightlatch.workloads.processes.reader import ProcessWorkloadReader
from tests.embedded.raw_http import Connection, request


async def test_the_model_server_refuses_whoever_is_not_the_gateway(shared):
    await shared.ready("one")
    connection = await shared.connect("one")
    assert (await connection.send(shared.embedding("one", shared.key("one-bot")))).status == 200
    state = await ProcessWorkloadReader(shared.probe.layout.workloads).observe(NamespacedName("default", "one"))
    host, port = state.replicas[0].address

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    assert await refused(host, port, context)


async def refused(host, port, context):
    """Whether the server ends the connection before any answer; TLS 1.3 says so only after the handshake."""
    try:
        connection = await Connection.open(port, "localhost", context, host=host)
        await connection.send(request("GET", "/v2/health/live", "localhost"))
    except (ssl.SSLError, OSError, asyncio.IncompleteReadError):
        return True
    return False


async def test_the_model_server_sees_no_credential_and_no_forged_identity(shared):
    await shared.ready("one")
    log, key = shared.directory / "one.log", shared.key("one-bot")
    forged = [("X-Forwarded-Client-Cert", "By=spiffe://forged"), ("X-Nightlatch-Client", "forged"), ("X-API-Key", key)]
    connection = await shared.connect("one")
    before = _embeddings(log)
    assert (await connection.send(shared.embedding("one", key, headers=forged))).status == 200
    await shared.until("the access log", lambda: _embeddings(log) == before + 1)
    logged = log.read_text()
    assert key not in logged
    assert key.split("_")[2] not in logged
    assert "authorization" not in logged.lower()
    assert "x-api-key" not in logged.lower()
    assert "forged" not in logged
    assert "x-nightlatch-client" in logged.lower()


def _embeddings(log):
    return log.read_text().count("/v1/embeddings") if log.exists() else 0


async def test_no_key_text_is_in_any_log_or_argument(shared):
    await shared.ready("one")
    connection = await shared.connect("one")
    key = shared.key("one-bot")
    assert (await connection.send(shared.embedding("one", key))).status == 200
    secret = key.split("_")[2]
    logs = [path for path in shared.state.rglob("*") if path.is_file() and path.suffix in {".log", ".jsonl", ".json"}]
    assert logs
    assert not [path for path in logs if secret in path.read_text(errors="replace")]
    assert not any(secret in " ".join(child.cmdline()) for child in shared.children() if psutil.pid_exists(child.pid))
    assert secret not in shared.printed
