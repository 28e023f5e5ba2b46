"""The one exception that becomes an error answer to the caller."""

from nightlatch_server.error_body import CallerError


class RequestError(Exception):
    """A refused request. `message` is the sentence that the caller reads: the error's own, unless one is given.

    `param` is OpenAI's name of the field that is wrong; `allow` lists the methods that the path has.
    """

    def __init__(
        self, error: CallerError, message: str | None = None, *, param: str | None = None, allow: str | None = None
    ) -> None:
        self.error = error
        self.message = message or error.say()
        super().__init__(self.message)
        self.param = param
        self.allow = allow
