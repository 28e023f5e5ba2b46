"""Generated code: the tables of caller-visible errors, from caller_errors.yaml.

`python -m nightlatch.wire.generate` writes them; with `--check` it only says whether they are in step.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nightlatch.wire.fields import Fields

SOURCE = Path(__file__).with_name("caller_errors.yaml")
_CHECKOUT = Path(__file__).parents[3]
# Who answers, and the module that has the table of its answers.
TABLES = {
    "gateway": Path(__file__).with_name("caller_errors.py"),
    "model-server": _CHECKOUT / "model-server" / "nightlatch_server" / "caller_errors.py",
}
# https://grpc.io/docs/guides/status-codes/
_GRPC = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
_MODULE = '''"""Generated from operator/nightlatch/wire/caller_errors.yaml by `make generate`. Do not edit."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallerError:
    """An error that a caller can get; caller_errors.yaml explains the fields."""

    code: str
    status: int
    grpc_status: int
    openai_type: str
    sentence: str
    details: Mapping[str, str]
    retry_after: int | None
    www_authenticate: str | None

    def say(self, detail: str | None = None, /, **values: object) -> str:
        """The sentence, or the one of this detail, with its {names} filled in."""
        return (self.details[detail] if detail else self.sentence).format(**values)

'''


class SourceError(ValueError):
    """caller_errors.yaml has a mistake."""


@dataclass(frozen=True, slots=True)
class Row:
    """One error of caller_errors.yaml, which explains the fields."""

    code: str
    status: int
    grpc: str
    by: tuple[str, ...]
    when: str
    sentence: str
    details: dict[str, str]
    stated: bool
    retry_after: int | None
    www_authenticate: str | None
    reason: bool

    @property
    def openai_type(self) -> str:
        """The `type` in OpenAI's error bodies."""
        if self.status == 429:
            return "rate_limit_error"
        if self.status == 403:
            return "permission_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"


def read_rows(text: str) -> tuple[Row, ...]:
    """The rows of caller_errors.yaml. Raises SourceError."""
    rows = Fields({"errors": yaml.safe_load(text)}, "", SourceError).each("errors", _row)
    if len({row.code for row in rows}) != len(rows):
        raise SourceError("two errors have the same code")
    return rows


def _row(fields: Fields) -> Row:
    for name, value in (("details", {}), ("stated", False), ("reason", False)):
        fields.default(name, value)
    for name in ("retry_after", "www_authenticate"):
        fields.default(name, None)
    return fields.close(
        Row(
            code=fields.plain("code", str),
            status=fields.integer("status", 400, 599),
            grpc=fields.one_of("grpc", tuple(_GRPC)),
            by=tuple(fields.plain("by", list)),
            when=fields.plain("when", str),
            sentence=fields.plain("sentence", str),
            details=fields.plain("details", dict),
            stated=fields.plain("stated", bool),
            retry_after=fields.optional("retry_after", fields.count),
            www_authenticate=fields.optional("www_authenticate", lambda name: fields.plain(name, str)),
            reason=fields.plain("reason", bool),
        )
    )


def table(rows: tuple[Row, ...], by: str) -> str:
    """The module with the errors that `by` answers."""
    return "\n".join([_MODULE, *(_entry(row) for row in rows if by in row.by)])


def _entry(row: Row) -> str:
    values: dict[str, Any] = {
        "code": row.code,
        "status": row.status,
        "grpc_status": _GRPC[row.grpc],
        "openai_type": row.openai_type,
        "sentence": row.sentence,
        "details": row.details,
        "retry_after": row.retry_after,
        "www_authenticate": row.www_authenticate,
    }
    lines = (f"    {name}={_literal(value)},\n" for name, value in values.items())
    return f"{row.code.upper()} = CallerError(\n{''.join(lines)})\n"


def _literal(value: Any) -> str:
    """Python as `ruff format` would write it."""
    if isinstance(value, str):
        quote = "'" if '"' in value and "'" not in value else '"'
        return f"{quote}{value}{quote}"
    if isinstance(value, dict) and value:
        lines = (f"        {_literal(name)}: {_literal(text)},\n" for name, text in value.items())
        return f"{{\n{''.join(lines)}    }}"
    return repr(value)


def main(arguments: list[str]) -> int:
    """Write the tables, or with `--check` compare them. Exit status 1 when one is not in step."""
    rows = read_rows(SOURCE.read_text("utf-8"))
    stale = [path for by, path in TABLES.items() if not path.exists() or path.read_text("utf-8") != table(rows, by)]
    if "--check" in arguments:
        for path in stale:
            print(f"{path} is not in step with {SOURCE.name}; run: make generate", file=sys.stderr)
        return 1 if stale else 0
    for by, path in TABLES.items():
        path.write_text(table(rows, by), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
