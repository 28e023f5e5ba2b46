"""Errors that are shown to the user as they are."""


class UserError(Exception):
    """`message` says what is wrong and `hint` what to do; neither contains a secret. `code` is the exit status."""

    def __init__(self, message: str, hint: str = "", *, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
