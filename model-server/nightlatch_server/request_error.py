"""What a caller is told when a request can't be served."""

from __future__ import annotations


class RequestError(Exception):
    """A request refused, with the HTTP status and a message that is fit for the caller.

    `param` and `code` are OpenAI's error fields; `retry_after` (seconds) and `allow` (methods) become headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.allow = allow
