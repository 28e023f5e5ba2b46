"""What an API server answers when it does not do what was asked."""

from collections.abc import Mapping
from typing import Any

from nightlatch.informer import SourceError

# Our own reason: the answer is longer than the caller can use.
TOO_LARGE = "TooLarge"


class ApiServerError(SourceError):
    """A `metav1.Status` other than success.

    code: HTTP status, 0 when no answer came. reason: Kubernetes' machine-readable reason (`NotFound`, `Conflict`, …).
    causes: `(field path, message)` pairs of `status.details.causes`.
    """

    def __init__(self, code: int, reason: str, message: str, causes: tuple[tuple[str, str], ...] = ()) -> None:
        self.code = code
        self.reason = reason
        self.causes = causes
        super().__init__(message)

    @classmethod
    def from_status(cls, code: int, status: Mapping[str, Any]) -> "ApiServerError":
        """From a Status object as the server sent it."""
        details = status.get("details") or {}
        causes = tuple((cause.get("field", ""), cause.get("message", "")) for cause in details.get("causes", ()))
        return cls(int(status.get("code") or code), status.get("reason", ""), status.get("message", ""), causes)

    @property
    def transient(self) -> bool:
        """The same call may succeed later: no answer, overload, or an error of the server."""
        return self.code in {0, 429} or self.code >= 500
