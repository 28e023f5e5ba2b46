"""The serving port: find the operation of each request, answer it, count it."""

import logging
import time

from nightlatch_server import caller_errors
from nightlatch_server.engine.serving import Serving
from nightlatch_server.logs import ACCESS
from nightlatch_server.metrics import Metrics
from nightlatch_server.protocols.errors import error_answer
from nightlatch_server.protocols.operations import OpenAIOperations, OpenInferenceOperations
from nightlatch_server.protocols.routes import Table
from nightlatch_server.request_error import RequestError
from nightlatch_server.transport.http.message import Request, Response

_log = logging.getLogger(__name__)
_access = logging.getLogger(ACCESS)


class App:
    """Answers every request of the serving port. With `log_headers`, for tests only, the access log has all headers."""

    def __init__(self, serving: Serving, metrics: Metrics, *, request_timeout: float, log_headers: bool) -> None:
        self._metrics = metrics
        self._log_headers = log_headers
        open_inference = OpenInferenceOperations(serving, request_timeout)
        openai = OpenAIOperations(serving, request_timeout, created=int(time.time()))
        self._table = Table([*open_inference.routes(), *openai.routes()])

    async def __call__(self, request: Request) -> Response:
        """The answer to `request`. Raises nothing but CancelledError."""
        operation, status = "unknown", 499
        self._metrics.running.inc()
        try:
            route, values = self._table.match(request.method, request.path)
            operation = route.operation
            response = await route.handle(request, values)
            status = response.status
        except RequestError as error:
            status = error.error.status
            response = error_answer(request.path, error)
        except Exception:  # noqa: BLE001 - logged, and the caller gets a 500
            _log.exception("internal error", extra={"operation": operation})
            status = caller_errors.INTERNAL_ERROR.status
            response = error_answer(request.path, RequestError(caller_errors.INTERNAL_ERROR))
        finally:
            self._metrics.running.dec()
            self._account(request, operation, status)
        return response

    def _account(self, request: Request, operation: str, status: int) -> None:
        seconds = time.monotonic() - request.received
        self._metrics.request(operation, status, seconds)
        if not _access.isEnabledFor(logging.DEBUG):
            return
        line: dict[str, object] = {"method": request.method, "path": request.path, "status": status}
        line["seconds"] = round(seconds, 6)
        if self._log_headers:
            line["headers"] = [[k.decode("latin-1"), v.decode("latin-1")] for k, v in request.headers]
        _access.debug("request", extra=line)
