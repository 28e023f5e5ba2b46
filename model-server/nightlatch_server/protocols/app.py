"""The serving port: every operation of Open Inference Protocol v2 (REST) and of OpenAI's embeddings API."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from nightlatch_server.engine.serving import Serving
from nightlatch_server.logs import ACCESS
from nightlatch_server.metrics import Metrics
from nightlatch_server.model_package.manifest import Manifest
from nightlatch_server.protocols import open_inference as oip
from nightlatch_server.protocols import openai_embeddings as openai
from nightlatch_server.protocols.routes import Route, Table
from nightlatch_server.request_error import RequestError
from nightlatch_server.transport.http.message import Request, Response, error_response, json_response

log = logging.getLogger(__name__)
access = logging.getLogger(ACCESS)

Values = Mapping[str, str]


class App:
    """Handles each request of the serving port; `log_headers` writes all headers to the access log (tests only)."""

    def __init__(self, serving: Serving, metrics: Metrics, *, log_headers: bool = False) -> None:
        self._serving = serving
        self._metrics = metrics
        self._log_headers = log_headers
        self._created = int(time.time())
        self._table = Table(self._routes())

    def _routes(self) -> list[Route]:
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            Route("GET", "/v2/health/live", "live", self._live),
            Route("GET", "/v2/health/ready", "ready", self._ready),
            Route("GET", "/v2", "server_metadata", self._server_metadata),
            *(Route("GET", path, "model_metadata", self._model_metadata) for path in (model, version)),
            *(Route("GET", f"{path}/ready", "model_ready", self._model_ready) for path in (model, version)),
            *(Route("POST", f"{path}/infer", "infer", self._infer) for path in (model, version)),
            Route("POST", "/v1/embeddings", "embeddings", self._embeddings),
            Route("GET", "/v1/models", "models", self._models),
            Route("GET", "/v1/models/{model}", "model", self._model),
        ]

    async def __call__(self, request: Request) -> Response:
        """The answer to `request`; never raises but when cancelled."""
        operation, status = "unknown", 499
        self._metrics.running.inc()
        try:
            route, values = self._table.match(request.method, request.path)
            operation = route.operation
            response = await route.handle(request, values)
            status = response.status
        except RequestError as error:
            status = error.status
            response = _refusal(request.path, error)
        except Exception:
            log.exception("internal error", extra={"operation": operation})
            status = 500
            response = _refusal(request.path, RequestError(500, "internal error; the server's log has the details"))
        finally:
            self._metrics.running.dec()
            self._account(request, operation, status)
        return response

    def _account(self, request: Request, operation: str, status: int) -> None:
        seconds = time.monotonic() - request.received
        self._metrics.request(operation, status, seconds)
        if not access.isEnabledFor(logging.DEBUG):
            return
        line: dict[str, object] = {"method": request.method, "path": request.path, "status": status}
        line["seconds"] = round(seconds, 6)
        if self._log_headers:
            line["headers"] = [[k.decode("latin-1"), v.decode("latin-1")] for k, v in request.headers]
        access.debug("request", extra=line)

    # -- Open Inference Protocol -------------------------------------------------------------------------------------

    async def _live(self, _: Request, __: Values) -> Response:
        return json_response(200, {"live": True, "ready": self._serving.lifecycle.ready})

    async def _ready(self, _: Request, __: Values) -> Response:
        ready = self._serving.lifecycle.ready
        return json_response(200 if ready else 503, {"live": True, "ready": ready})

    async def _server_metadata(self, _: Request, __: Values) -> Response:
        return json_response(200, oip.SERVER_METADATA)

    async def _model_metadata(self, _: Request, values: Values) -> Response:
        return json_response(200, oip.model_metadata(self._serving.name(), self._addressed(values)))

    async def _model_ready(self, _: Request, values: Values) -> Response:
        self._addressed(values)
        ready = self._serving.lifecycle.ready
        return json_response(200 if ready else 503, {"name": self._serving.name(), "ready": ready})

    def _addressed(self, values: Values) -> Manifest:
        """The manifest, if the path names this model (and version). Raises RequestError 404 or 503."""
        manifest, name = self._serving.manifest(), self._serving.name()
        if values["model"] != name:
            raise RequestError(404, f"no model {values['model'][:128]!r} here; this server has {name!r}")
        if values.get("version", manifest.version) != manifest.version:
            raise RequestError(404, f"model {name!r} has version {manifest.version!r} only")
        return manifest

    async def _infer(self, request: Request, values: Values) -> Response:
        manifest = self._addressed(values)
        _refuse_encodings(request)
        deadline = self._serving.deadline(request)
        asked = oip.parse_infer(request.body, manifest)
        texts = next(iter(asked.inputs.values())).data
        if len(texts) > openai.MAX_INPUTS:
            raise RequestError(400, f"{len(texts)} rows in one request, {openai.MAX_INPUTS} at most")
        data: object = []
        if texts:
            rows = await self._serving.tokenize(texts)
            data = (await self._serving.embed(rows, deadline)).reshape(-1)
        spec = manifest.outputs[0]
        shape = (len(texts), self._serving.model().dimension)
        answer = oip.infer_response(self._serving.name(), manifest.version, asked, {spec.name: (spec, shape, data)})
        return json_response(200, answer)

    # -- OpenAI ------------------------------------------------------------------------------------------------------

    async def _embeddings(self, request: Request, _: Values) -> Response:
        _refuse_encodings(request)
        deadline = self._serving.deadline(request)
        asked = openai.parse_embeddings(request.body, self._facts())
        rows = asked.rows if isinstance(asked, openai.TokenRequest) else await self._serving.tokenize(asked.texts)
        vectors = await self._serving.embed(rows, deadline)
        tokens = sum(map(len, rows))
        return json_response(
            200, openai.embeddings_response(self._serving.name(), vectors, tokens, base64=asked.base64)
        )

    def _facts(self) -> openai.ModelFacts:
        model = self._serving.model()
        return openai.ModelFacts(self._serving.name(), model.dimension, model.max_tokens, model.vocabulary)

    async def _models(self, _: Request, __: Values) -> Response:
        models = [openai.model_object(self._serving.name(), self._created)]
        return json_response(200, {"object": "list", "data": models})

    async def _model(self, _: Request, values: Values) -> Response:
        openai.check_model(values["model"], self._serving.name())
        return json_response(200, openai.model_object(self._serving.name(), self._created))


def _refuse_encodings(request: Request) -> None:
    if request.header(b"inference-header-content-length") is not None:
        raise RequestError(
            400, "Inference-Header-Content-Length: this server has no binary tensor extension (see /v2); send JSON"
        )
    if (request.header(b"content-encoding") or b"identity").lower() != b"identity":
        raise RequestError(415, "a body with Content-Encoding is not taken; send it as it is")


def _refusal(path: str, error: RequestError) -> Response:
    """The error in the shape of the protocol that the path belongs to."""
    headers = [] if error.retry_after is None else [(b"retry-after", b"%d" % error.retry_after)]
    if error.allow is not None:
        headers.append((b"allow", error.allow.encode("ascii")))
    if path.startswith("/v1/"):
        return json_response(error.status, openai.error_body(error), headers)
    return error_response(error.status, error.message, headers)
