"""`docs/reference/errors.md`: every error that a caller of an endpoint can get, from `wire/caller_errors.yaml`."""

import json

from nightlatch.api.conditions import Reason
from nightlatch.wire import caller_errors, error_body
from nightlatch.wire.generate import Row, read_rows

_INTRODUCTION = """# Errors

What a caller of an endpoint gets when a call is not answered by the model. Compare `code` in programs: it does not
change. The sentence is for people and may change. A `reason` (CamelCase, for example `ImagePullFailed`) is there only
where a wake failed; [conditions.md](conditions.md) lists the reasons.
"""

_BODIES = """## Bodies

The body is JSON in the shape of the API that the path belongs to.
"""

_GRPC = """## gRPC

A call with the Content-Type `application/grpc` ends with the gRPC status of the table and the sentence as its message.
`grpc-status-details-bin` holds a `google.rpc.ErrorInfo`: its `reason` is the code, its `domain` is `nightlatch.dev`,
and where a wake failed its metadata has the `reason`. Two kinds of answers have no ErrorInfo:

- `invalid_request` about a credential. It has the status of the table.
- `request_failed`. Its status is the one that Envoy makes of the HTTP status.

The model server itself speaks HTTP only: its errors have a gRPC status for the sake of the table.
"""


def render() -> str:
    """The page as Markdown."""
    rows = sorted(read_rows(), key=lambda row: row.status)
    return "\n".join([_INTRODUCTION, _table(rows), _BODIES, _shapes(), _sentences(rows), _GRPC]).rstrip() + "\n"


def _table(rows: list[Row]) -> str:
    lines = ["| HTTP | code | when | Retry-After | reason | gRPC | from |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        retry = "" if row.retry_after is None else f"{row.retry_after} s"
        cells = (row.status, f"`{row.code}`", row.when, retry, "yes" if row.reason else "", row.grpc, ", ".join(row.by))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _shapes() -> str:
    error = caller_errors.WAKE_TIMEOUT
    paths = {
        "Open Inference Protocol (paths that begin with `/v2`)": error_body.OPEN_INFERENCE,
        "OpenAI (paths that begin with `/v1/`)": error_body.OPENAI,
        "Any other path": "/",
    }
    lines = ["| API | body |", "|---|---|"]
    for api, path in paths.items():
        body = error_body.error_body(path, error, error.say(seconds=45), reason=Reason.WAKE_TIMEOUT)
        lines.append(f"| {api} | `{json.dumps(body)}` |")
    return "\n".join(lines) + "\n"


def _sentences(rows: list[Row]) -> str:
    lines = ["## Sentences", "", "Names in braces are filled in.", "", "| code | sentence |", "|---|---|"]
    for row in rows:
        stated = ["(or a sentence that names what is wrong in the request)"] if row.stated else []
        lines.append(f"| `{row.code}` | {'<br>'.join([row.sentence, *row.details.values(), *stated])} |")
    return "\n".join(lines).replace("!r}", "}") + "\n"
