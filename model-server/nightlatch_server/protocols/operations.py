"""The operations of the serving port: each checks a request, asks the engine, and builds the answer."""

from collections.abc import Mapping

from nightlatch_server import caller_errors
from nightlatch_server.engine.serving import Serving
from nightlatch_server.model_package.manifest import Manifest
from nightlatch_server.protocols import open_inference, openai_embeddings
from nightlatch_server.protocols.routes import Route
from nightlatch_server.request_error import RequestError
from nightlatch_server.transport.http.message import Request, Response, json_response

Values = Mapping[str, str]

_NO_MODEL = caller_errors.MODEL_NOT_FOUND
MAX_ROWS = openai_embeddings.MAX_INPUTS
"""Rows of one request: the same limit in both protocols."""


class OpenInferenceOperations:
    """Open Inference Protocol v2 over REST."""

    def __init__(self, serving: Serving, request_timeout: float) -> None:
        self._serving = serving
        self._request_timeout = request_timeout

    def routes(self) -> list[Route]:
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            Route("GET", "/v2/health/live", "live", self._live),
            Route("GET", "/v2/health/ready", "ready", self._ready),
            Route("GET", "/v2", "server_metadata", self._server_metadata),
            *(Route("GET", path, "model_metadata", self._model_metadata) for path in (model, version)),
            *(Route("GET", f"{path}/ready", "model_ready", self._model_ready) for path in (model, version)),
            *(Route("POST", f"{path}/infer", "infer", self._infer) for path in (model, version)),
        ]

    async def _live(self, _: Request, __: Values) -> Response:
        return json_response(200, {"live": True, "ready": self._serving.lifecycle.ready})

    async def _ready(self, _: Request, __: Values) -> Response:
        ready = self._serving.lifecycle.ready
        return json_response(200 if ready else 503, {"live": True, "ready": ready})

    async def _server_metadata(self, _: Request, __: Values) -> Response:
        return json_response(200, open_inference.SERVER_METADATA)

    async def _model_metadata(self, _: Request, values: Values) -> Response:
        manifest, digest = self._addressed(values), self._serving.lifecycle.digest
        return json_response(200, open_inference.model_metadata(self._serving.name(), manifest, digest))

    async def _model_ready(self, _: Request, values: Values) -> Response:
        self._addressed(values)
        ready = self._serving.lifecycle.ready
        return json_response(200 if ready else 503, {"name": self._serving.name(), "ready": ready})

    def _addressed(self, values: Values) -> Manifest:
        """The manifest, if the path names this model and its version. Raises RequestError 404 or 503."""
        manifest, name = self._serving.manifest(), self._serving.name()
        if values["model"] != name:
            raise RequestError(_NO_MODEL, _NO_MODEL.say(wanted=values["model"][:128], name=name))
        if values.get("version", manifest.version) != manifest.version:
            raise RequestError(_NO_MODEL, _NO_MODEL.say("version", name=name, version=manifest.version))
        return manifest

    async def _infer(self, request: Request, values: Values) -> Response:
        manifest = self._addressed(values)
        _refuse_encodings(request)
        wanted = open_inference.parse_infer(request.body, manifest)
        texts = next(iter(wanted.inputs.values())).data
        if len(texts) > MAX_ROWS:
            raise RequestError(caller_errors.INVALID_REQUEST, f"the request has {len(texts)} rows, {MAX_ROWS} at most")
        data: object = []
        if texts:
            rows = await self._serving.tokenize(texts)
            data = (await self._serving.embed(rows, _deadline(request, self._request_timeout))).reshape(-1)
        spec = manifest.outputs[0]
        shape = (len(texts), self._serving.model().dimension)
        results = {spec.name: (spec, shape, data)}
        answer = open_inference.infer_response(self._serving.name(), manifest.version, wanted, results)
        return json_response(200, answer)


class OpenAIOperations:
    """OpenAI's embeddings API. `created` is the time that the model list shows, in Unix seconds."""

    def __init__(self, serving: Serving, request_timeout: float, created: int) -> None:
        self._serving = serving
        self._request_timeout = request_timeout
        self._created = created

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/embeddings", "embeddings", self._embeddings),
            Route("GET", "/v1/models", "models", self._models),
            Route("GET", "/v1/models/{model}", "model", self._model),
        ]

    async def _embeddings(self, request: Request, _: Values) -> Response:
        _refuse_encodings(request)
        name, model = self._serving.name(), self._serving.model()
        facts = openai_embeddings.ModelFacts(name, model.dimension, model.max_tokens, model.vocabulary)
        wanted = openai_embeddings.parse_embeddings(request.body, facts)
        if isinstance(wanted, openai_embeddings.TokenRequest):
            rows = wanted.rows
        else:
            rows = await self._serving.tokenize(wanted.texts)
        vectors = await self._serving.embed(rows, _deadline(request, self._request_timeout))
        tokens = sum(map(len, rows))
        answer = openai_embeddings.embeddings_response(name, vectors, tokens, base64=wanted.base64)
        return json_response(200, answer)

    async def _models(self, _: Request, __: Values) -> Response:
        models = [openai_embeddings.model_object(self._serving.name(), self._created)]
        return json_response(200, {"object": "list", "data": models})

    async def _model(self, _: Request, values: Values) -> Response:
        openai_embeddings.check_model(values["model"], self._serving.name())
        return json_response(200, openai_embeddings.model_object(self._serving.name(), self._created))


def _deadline(request: Request, timeout: float) -> float:
    """The time.monotonic() at which the caller gives up: after `timeout` seconds, or earlier if Envoy says so."""
    expected = request.header(b"x-envoy-expected-rq-timeout-ms")
    if expected is not None and expected.isdigit() and len(expected) < 10:
        timeout = min(timeout, int(expected) / 1000)
    return request.received + timeout


def _refuse_encodings(request: Request) -> None:
    if request.header(b"inference-header-content-length") is not None:
        raise RequestError(
            caller_errors.INVALID_REQUEST,
            "Inference-Header-Content-Length: this server has no binary tensor extension (see /v2); send JSON",
        )
    if (request.header(b"content-encoding") or b"identity").lower() != b"identity":
        raise RequestError(caller_errors.UNSUPPORTED_ENCODING)
