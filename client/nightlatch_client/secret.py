"""Where secrets come from. A file is read for each use, so that a secret that was rotated is used at once."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightlatch_client.errors import TokenError

Secret = str | Path | Callable[[], str]
"""The secret itself, the file it is in, or a function that gets it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A secret in a variable of the environment."""

    name: str

    def __call__(self) -> str:
        found = os.environ.get(self.name)
        if not found:
            raise TokenError(f"the variable {self.name} is not set")
        return found


def reveal(secret: Secret) -> str:
    """The text without white space around it. Raises TokenError."""
    if isinstance(secret, Path):
        try:
            text = secret.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"cannot read the secret in {secret}: {_why(error)}") from None
        if not text.strip():
            raise TokenError(f"{secret} is empty: write the secret into it")
        return text.strip()
    text = (secret if isinstance(secret, str) else secret()).strip()
    if not text:
        raise TokenError("the client's secret is empty")
    return text


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not text"
