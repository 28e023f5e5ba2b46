"""The model server as a process of its own, over real mTLS, with a tiny BERT."""

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from nightlatch_server.model_package.writer import write_package
from tests.unit.model_server import tiny_model
from tests.unit.model_server.process import (
    GATEWAY,
    CertificateAuthority,
    ModelServer,
    Pki,
    command,
    environment,
    model_server,
    wait,
)

INFER = "/v2/models/tiny/infer"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    write_package(tiny_model.write(root / "source"), root / "package", name="tiny")
    return root / "package"


@pytest.fixture(scope="module")
def server(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    directory = tmp_path_factory.mktemp("server")
    flags = [f"--access-log={directory / 'access'}", "--log-headers", "--max-body=100000"]
    with model_server(package, directory, *flags) as running:
        running.wait_ready()
        yield running


def texts(*values: str, **change: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(values)], "datatype": "BYTES", "data": values, **change}]}


def slow_texts() -> dict[str, Any]:
    """Some hundred milliseconds of work."""
    return texts(*["the cat sat on the mat " * 10] * 2000)


def test_infer_gives_one_unit_vector_for_each_text(server: ModelServer) -> None:
    with server.client() as client:
        answer = client.post(INFER, json=texts("a cat", "the dog sat") | {"id": "7"}).json()
    (output,) = answer.pop("outputs")
    data = output.pop("data")
    assert answer == {"model_name": "tiny", "model_version": "1", "id": "7"}
    assert output == {"name": "embedding", "datatype": "FP32", "shape": [2, tiny_model.HIDDEN]}
    for row in (data[: tiny_model.HIDDEN], data[tiny_model.HIDDEN :]):
        assert sum(x * x for x in row) == pytest.approx(1, abs=1e-5)


def test_a_row_has_the_same_vector_whatever_it_is_batched_with(server: ModelServer) -> None:
    with server.client() as client:
        alone = client.post(INFER, json=texts("a cat")).json()["outputs"][0]["data"]
        beside = client.post(INFER, json=texts("the dog sat on the mat today", "a cat")).json()["outputs"][0]["data"]
    assert beside[tiny_model.HIDDEN :] == pytest.approx(alone, abs=1e-5)


def test_no_rows_give_no_rows(server: ModelServer) -> None:
    with server.client() as client:
        (output,) = client.post(INFER, json=texts()).json()["outputs"]
    assert (output["shape"], output["data"]) == ([0, tiny_model.HIDDEN], [])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", {"name": "nightlatch", "extensions": []}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/tiny", {"name": "tiny", "versions": ["1"]}),
        ("/v2/models/tiny/versions/1", {"name": "tiny"}),
        ("/v2/models/tiny/ready", {"name": "tiny", "ready": True}),
        ("/v2/models/tiny/versions/1/ready", {"ready": True}),
        ("/v1/models", {"object": "list"}),
        ("/v1/models/tiny", {"id": "tiny", "object": "model"}),
    ],
)
def test_metadata_and_health(server: ModelServer, path: str, expected: dict[str, object]) -> None:
    with server.client() as client:
        response = client.get(path)
    assert response.status_code == 200
    assert response.json().items() >= expected.items()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "unknown_url"),
        ("GET", "/v2/", 404, "unknown_url"),
        ("GET", "/V2", 404, "unknown_url"),
        ("GET", "/v2/models/other", 404, "model_not_found"),
        ("POST", "/v2/models/other/infer", 404, "model_not_found"),
        ("POST", "/v2/models/tiny/versions/2/infer", 404, "model_not_found"),
        ("GET", INFER, 405, "method_not_allowed"),
        ("POST", "/v2", 405, "method_not_allowed"),
        ("HEAD", "/v2", 405, None),
        ("POST", INFER, 400, "invalid_request"),
        ("POST", "/v2/repository/models/tiny/unload", 404, "unknown_url"),
        ("GET", "/metrics", 404, "unknown_url"),
        ("GET", "/v1/models/other", 404, "model_not_found"),
    ],
)
def test_anything_else_is_an_error_with_a_message_and_a_code(
    server: ModelServer, method: str, path: str, status: int, code: str | None
) -> None:
    with server.client() as client:
        url = httpx.URL(server.url).copy_with(raw_path=path.encode())
        response = client.send(client.build_request(method, url))
    assert response.status_code == status
    if code is not None:
        body = response.json()
        nested = not path.startswith("/v2")
        assert body["error"]["message"] if nested else body["error"]
        assert (body["error"] if nested else body)["code"] == code
    assert ("allow" in response.headers) is (status == 405)


def test_binary_tensors_and_encoded_bodies_are_refused_clearly(server: ModelServer) -> None:
    with server.client() as client:
        binary = client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": "2"})
        packed = client.post(INFER, content=b"x", headers={"Content-Encoding": "gzip"})
        large = client.post(INFER, json=texts("x" * 100_001))
    assert (binary.status_code, packed.status_code, large.status_code) == (400, 415, 413)
    assert "binary tensor extension" in binary.json()["error"]


def test_the_real_openai_client_is_served(server: ModelServer) -> None:
    with server.client() as http, openai.OpenAI(api_key="x", base_url=f"{server.url}/v1", http_client=http) as client:
        packed = client.embeddings.create(model="tiny", input=["a cat", "the dog sat"])
        plain = client.embeddings.create(model="tiny", input=["a cat", "the dog sat"], encoding_format="float")
        one = client.embeddings.create(model="tiny", input="a cat")
        tokens = client.embeddings.create(model="tiny", input=[[2, 4, 5, 3]])
        models = [model.id for model in client.models.list()]
    assert [item.index for item in packed.data] == [0, 1]
    for a, b in zip(packed.data, plain.data, strict=True):
        assert a.embedding == pytest.approx(b.embedding, abs=1e-6)
    assert one.data[0].embedding == pytest.approx(tokens.data[0].embedding, abs=1e-5)
    assert one.usage.prompt_tokens == tokens.usage.prompt_tokens == 4
    assert models == ["tiny"]


def test_the_real_openai_client_understands_the_errors(server: ModelServer) -> None:
    with server.client() as http, openai.OpenAI(api_key="x", base_url=f"{server.url}/v1", http_client=http) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            client.embeddings.create(model="other", input="a")
        with pytest.raises(openai.BadRequestError, match="cannot be shortened") as shortened:
            client.embeddings.create(model="tiny", input="a", dimensions=2)
        with pytest.raises(openai.BadRequestError, match="empty string"):
            client.embeddings.create(model="tiny", input="")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert shortened.value.param == "dimensions"


def test_the_header_log_shows_every_header_that_arrived(server: ModelServer, request: pytest.FixtureRequest) -> None:
    with server.client() as client:
        client.get("/v2/health/live", headers={"X-Test": request.node.name})
    lines = [json.loads(line) for line in (server.log.parent / "access").read_text().splitlines()]
    (line,) = [line for line in lines if ["x-test", request.node.name] in line["headers"]]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v2/health/live", 200)
    assert "host" in dict(line["headers"])


def test_the_admin_port_has_health_and_metrics_by_get_and_nothing_else(server: ModelServer) -> None:
    base = f"http://127.0.0.1:{server.admin_port}"
    assert [server.admin(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    assert [server.admin(path).status_code for path in ("/", "/v2", INFER, "/v1/models")] == [404] * 4
    assert [httpx.request(m, f"{base}/metrics").status_code for m in ("POST", "DELETE", "PUT")] == [405] * 3
    assert httpx.post(f"{base}/metrics", content=b"x").status_code == 413


def test_metrics_count_requests_batches_and_start_up_phases(server: ModelServer) -> None:
    with server.client() as client:
        client.post(INFER, json=texts("a cat"))
        client.get("/nowhere")
    assert server.metric('requests_total{code="200",operation="infer"}') >= 1
    assert server.metric('requests_total{code="404",operation="unknown"}') >= 1
    assert server.metric("batch_rows_count") >= 1
    for phase in ("verify", "import", "load", "warmup", "total"):
        assert server.metric(f'load_duration_seconds{{phase="{phase}"}}') > 0


def refused(server: ModelServer, identity: tuple[Path, Path] | None) -> bool:
    """Whether no request gets through with this certificate."""
    try:
        httpx.get(f"{server.url}/v2/health/live", verify=server.pki.context(identity), timeout=10)
    except (httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError):
        return True
    return False


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://nightlatch.test/model"],
        [GATEWAY + "/x"],
        [GATEWAY.upper()],
        ["spiffe://nightlatch.test.evil/gateway"],
        [GATEWAY, "spiffe://nightlatch.test/other"],
    ],
)
def test_another_identity_of_our_own_ca_is_refused(server: ModelServer, tmp_path: Path, uris: list[str]) -> None:
    before = server.metric("connections_refused_total")
    assert refused(server, server.pki.authority.issue(tmp_path, "other", *uris))
    assert server.metric("connections_refused_total") == before + 1


def test_no_certificate_or_one_of_another_ca_is_refused(server: ModelServer, tmp_path: Path) -> None:
    assert refused(server, None)
    assert refused(server, CertificateAuthority().issue(tmp_path, "gateway", GATEWAY))


def test_plain_http_on_the_tls_port_gets_nothing(server: ModelServer) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://localhost:{server.port}/v2/health/live", timeout=10)


def test_the_gateway_is_still_served_after_all_these(server: ModelServer) -> None:
    assert not refused(server, server.pki.gateway)


def test_it_is_live_before_torch_is_imported_and_ready_only_when_it_can_serve(package: Path, tmp_path: Path) -> None:
    with model_server(package, tmp_path) as server, server.client() as client:
        assert server.admin("/healthz").status_code == 200
        assert client.get("/v2/health/live").json() == {"live": True, "ready": False}
        assert client.get("/v2/health/ready").status_code == 503
        early = client.post(INFER, json=texts("a"))
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        assert "phase" not in server.log.read_text() or not any(
            line.get("phase") == "import" for line in server.logged()
        )
        server.wait_ready()
        assert client.get("/v2/health/ready").status_code == 200
        assert client.post(INFER, json=texts("a")).status_code == 200
        assert server.terminate() == 0
        assert server.logged()[-1]["complete"] is True, "an idle connection must not hold up the end"


def test_sigterm_while_loading_ends_at_once(package: Path, tmp_path: Path) -> None:
    with model_server(package, tmp_path) as server:
        assert server.terminate() == 0
        assert not any(line["message"] == "ready" for line in server.logged())


async def more_than(answers: list[int], count: int) -> None:
    async with asyncio.timeout(60):
        while len(answers) <= count:
            await asyncio.sleep(0.01)


async def test_draining_loses_no_request_and_refuses_none_before_the_delay_is_over(
    package: Path, tmp_path: Path
) -> None:
    with model_server(package, tmp_path, "--drain-delay=5") as server:
        await asyncio.to_thread(server.wait_ready)
        statuses: list[int] = []
        ending = asyncio.Event()

        async def calls(client: httpx.AsyncClient) -> None:
            while not ending.is_set():
                statuses.append((await client.post(INFER, json=texts("a cat", "the dog"))).status_code)

        async with server.async_client() as client:
            callers = [asyncio.create_task(calls(client)) for _ in range(8)]
            await more_than(statuses, 8)
            server.process.terminate()
            await asyncio.to_thread(wait, lambda: server.admin("/readyz").status_code == 503)
            assert (await client.get("/v2/health/ready")).status_code == 503
            await more_than(statuses, len(statuses) + 16)
            in_flight = asyncio.create_task(client.post(INFER, json=slow_texts()))
            ending.set()
            await asyncio.gather(*callers)
            assert (await in_flight).status_code == 200
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        assert set(statuses) == {200}
        assert server.logged()[-1]["complete"] is True


async def test_a_request_in_progress_when_the_delay_ends_is_finished_and_its_connection_closed(
    package: Path, tmp_path: Path
) -> None:
    with model_server(package, tmp_path) as server:
        await asyncio.to_thread(server.wait_ready)
        async with server.async_client() as client:
            await client.get("/v2")
            working = asyncio.create_task(client.post(INFER, json=slow_texts()))
            await asyncio.to_thread(wait, lambda: server.metric("requests_waiting") == 1)
            server.process.terminate()
            response = await working
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert await asyncio.to_thread(server.process.wait, 30) == 0


async def test_a_full_queue_is_429_with_retry_after(package: Path, tmp_path: Path) -> None:
    with model_server(package, tmp_path, "--max-queue=2") as server:
        await asyncio.to_thread(server.wait_ready)
        async with server.async_client() as client:
            answers = await asyncio.gather(*(client.post(INFER, json=slow_texts()) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {200, 429}
        assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)


async def test_probes_and_metrics_answer_while_the_model_is_busy(server: ModelServer) -> None:
    async with server.async_client() as client:
        working = [asyncio.create_task(client.post(INFER, json=texts(*["the cat sat"] * 2000))) for _ in range(8)]
        await asyncio.to_thread(wait, lambda: server.metric("requests_waiting") > 1)
        assert await asyncio.to_thread(lambda: server.admin("/healthz").status_code) == 200
        assert {answer.status_code for answer in await asyncio.gather(*working)} == {200}


def test_new_certificates_and_a_new_ca_are_taken_while_open_connections_go_on(package: Path, tmp_path: Path) -> None:
    with model_server(package, tmp_path) as server, server.client() as before:
        assert before.get("/v2/health/live").status_code == 200
        old_gateway = server.pki.context(server.pki.gateway)
        server.pki.ca.write_bytes(b"half written")
        wait(lambda: server.metric('tls_reloads_total{result="refused"}') > 0)
        old_ca = ssl_still_works(server, old_gateway)
        renewed = Pki(server.pki.directory)
        wait(lambda: not refused(server, renewed.gateway))
        assert old_ca
        assert before.get("/v2/health/live").status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/v2/health/live", verify=old_gateway)
        assert server.metric('tls_reloads_total{result="taken"}') >= 1


def ssl_still_works(server: ModelServer, context: Any) -> bool:
    return httpx.get(f"{server.url}/v2/health/live", verify=context).status_code == 200


def ended(arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run(arguments, capture_output=True, env=environment(), check=False, timeout=60)
    return done.returncode, done.stderr.decode()


def test_a_package_that_is_refused_ends_the_process_with_the_reason(package: Path, tmp_path: Path) -> None:
    message = tmp_path / "message"
    wrong = "--expect-digest=sha256:" + "0" * 64
    status, log = ended(command(package, "--insecure-plain", wrong, f"--termination-message={message}"))
    assert status == 3
    assert "expected sha256:0000" in message.read_text()
    assert "expected sha256:0000" in log
    assert '"phase":"import"' not in log


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "--tls-cert, --tls-key, --tls-ca and --admit are required"),
        (["--insecure-plain", "--admit=spiffe://a/b"], "excludes"),
        (["--insecure-plain", "--expect-digest=1"], "64 lower-case hex"),
        (["--insecure-plain", "--port=99999"], "0 to 65535"),
        (["--tls-cert=a", "--tls-key=b", "--tls-ca=c", "--admit=gateway"], "SPIFFE id"),
        (["--tls-cert=a", "--tls-key=b", "--tls-ca=c", "--admit=spiffe://a/b"], "cannot use the TLS files"),
        (["--insecure-plain", "--access-log=/nowhere/x"], "No such file"),
    ],
)
def test_bad_options_end_the_process_with_the_reason(package: Path, flags: list[str], says: str) -> None:
    status, log = ended(command(package, *flags))
    assert status == 2
    assert says in log


def test_a_port_in_use_ends_the_process_with_the_reason(server: ModelServer, package: Path, tmp_path: Path) -> None:
    message = tmp_path / "message"
    flags = [f"--port={server.port}", f"--termination-message={message}"]
    status, log = ended([*command(package, "--insecure-plain"), *flags])
    assert status == 2
    assert "ddress already in use" in log
    assert "ddress already in use" in message.read_text()


def test_weights_that_do_not_fit_the_description_end_the_process_with_the_reason(tmp_path: Path) -> None:
    source = tiny_model.write(tmp_path / "source")
    (source / "config.json").write_text(json.dumps({**tiny_model.CONFIG, "intermediate_size": 48}))
    write_package(source)
    status, log = ended(command(source, "--insecure-plain"))
    assert status == 3
    assert "the weights do not fit the architecture" in log


def test_plain_http_is_possible_and_warned_about(package: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    flags = ["--insecure-plain", f"--announce={tmp_path / 'announce'}", "--drain-delay=0"]
    process = subprocess.Popen(command(package, *flags), stderr=write, env=environment())
    os.close(write)
    lines: list[bytes] = []
    reader = threading.Thread(target=lines.extend, args=[os.fdopen(read, "rb")])
    reader.start()
    wait((tmp_path / "announce").exists)
    port = json.loads((tmp_path / "announce").read_text())["port"]
    assert httpx.get(f"http://127.0.0.1:{port}/v2/health/live").status_code == 200
    process.terminate()
    assert process.wait(30) == 0
    reader.join(10)
    assert b"no TLS" in lines[0]
