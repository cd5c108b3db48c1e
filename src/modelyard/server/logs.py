"""What a role says: log lines as JSON, with the ids of the request and the job under way."""

import logging
import sys
from typing import Any

import msgspec

from modelyard.core.clock import iso, wall_now
from modelyard.core.underway import JOB_ID, REQUEST_ID


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, role, logger, message, and the ids of the request and the job under way."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "at": iso(wall_now()),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in (("request_id", REQUEST_ID.get()), ("job_id", JOB_ID.get())) if value}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def log_as_json(role: str) -> None:
    """Sends every log line of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
