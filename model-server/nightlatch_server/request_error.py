"""The one exception that becomes an error answer to the caller."""


class RequestError(Exception):
    """A refused request: an HTTP status and a message that the caller may read.

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
