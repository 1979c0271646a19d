"""Logs: one JSON object a line, whatever a host name contains."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from telemetry import logs


@pytest.fixture(autouse=True)
def untouched_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_t17_a_host_name_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    logs.configure("probe", "info", stream)
    logging.getLogger("probe.test").info("host %s", 'x\n{"level":"fatal"}\x1b[2J\u202e')
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "\x1b" not in lines[0]
    assert json.loads(lines[0])["level"] == "info"


def test_t17_a_terminal_shows_control_characters_and_does_not_obey_them() -> None:
    record = logging.LogRecord("n", logging.INFO, "f", 1, "a\x1b[2Jb\nc", None, None)
    assert "\\x1b[2Jb\\nc" in logs.TerminalFormatter().format(record)


def test_t17_a_huge_message_is_cut() -> None:
    stream = io.StringIO()
    logs.configure("probe", "info", stream)
    logging.getLogger().error("x" * 10**6)
    assert len(stream.getvalue()) < 2 * logs.MESSAGE_CHARS_MAX


def test_an_error_carries_its_trace() -> None:
    stream = io.StringIO()
    logs.configure("probe", "info", stream)
    try:
        int("broken")
    except ValueError:
        logging.getLogger().exception("failed")
    assert "ValueError: invalid literal" in json.loads(stream.getvalue())["error"]
