"""Logging: one JSON line an entry, or plain text on a terminal.

Owns the format. Control characters of foreign text are escaped by JSON, and by `repr` on a
terminal, so a host name cannot forge a line or move the cursor.
"""

import json
import logging
import sys
import time
from typing import Literal, TextIO

Level = Literal["debug", "info", "warning", "error"]

MESSAGE_CHARS_MAX = 4000


class JsonFormatter(logging.Formatter):
    """An entry as one JSON object: time, level, program, logger, message and, if any, error."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self.program = program

    def format(self, record: logging.LogRecord) -> str:
        """Return one line without a line break inside."""
        created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{created}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "program": self.program,
            "logger": record.name,
            "message": record.getMessage()[:MESSAGE_CHARS_MAX],
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)[-MESSAGE_CHARS_MAX:]
        return json.dumps(entry)


class TerminalFormatter(logging.Formatter):
    """An entry for a person: clock time, level, message; control characters shown, not obeyed."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line with everything unprintable escaped."""
        line = super().formatMessage(record)[:MESSAGE_CHARS_MAX]
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def configure(program: str, level: Level, stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (standard error) in the house format."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TerminalFormatter() if stream.isatty() else JsonFormatter(program))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The Kafka client reports each failed attempt as an error, several a second while the broker is
    # away; the programs say once that it is away, and once that it is back.
    if level != "debug":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
