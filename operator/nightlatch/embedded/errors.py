"""What goes wrong in front of a person."""


class UserError(Exception):
    """The message says what is wrong, the hint what to do; neither holds a secret. `code`: the exit status."""

    def __init__(self, message: str, hint: str = "", *, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
