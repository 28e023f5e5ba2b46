"""Structured logs: one JSON object per line on standard error."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import orjson

ACCESS = "nightlatch_server.access"

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Each line has time, level, logger, message, the fields given as `extra`, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode("utf-8")


def configure(level: str, access_file: Path | None) -> None:
    """Log to standard error from `level` up.

    The access log goes to `access_file`; without a file it goes to standard error, if `level` is debug.
    Raises OSError if the file cannot be opened.
    """
    stderr = logging.StreamHandler()
    stderr.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[stderr], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    if access_file is not None:
        handler = logging.FileHandler(access_file, encoding="utf-8")
        handler.setFormatter(JsonLines())
        access = logging.getLogger(ACCESS)
        access.addHandler(handler)
        access.propagate = False
        access.setLevel(logging.DEBUG)
