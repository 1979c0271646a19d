"""What one host can and cannot read, and why: findings, and how they are told.

Owns the record of a finding and its two forms, for a person and for a program. What is looked at
is in `doctor_driver`, `doctor_host` and `doctor_broker`; none of them changes anything on the host.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, TypeVar

ResultT = TypeVar("ResultT")


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"  # works, with something missing
    FAIL = "fail"  # the agent cannot do its work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what, in one to three words.
        sentence: what was found.
        next_step: what to do about it; empty where nothing has to be done.
    """

    subject: str
    verdict: Verdict
    sentence: str
    next_step: str = ""


def ok(subject: str, sentence: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(subject, Verdict.OK, sentence)


def warn(subject: str, sentence: str, next_step: str) -> Finding:
    """Return a finding of something that is missing."""
    return Finding(subject, Verdict.WARN, sentence, next_step)


def fail(subject: str, sentence: str, next_step: str) -> Finding:
    """Return a finding that keeps the agent from its work."""
    return Finding(subject, Verdict.FAIL, sentence, next_step)


class NoAnswer(Exception):  # noqa: N818 - it is no error of this program
    """A call did not come back in time; its thread is left behind."""


def within(deadline_s: float, job: Callable[[], ResultT]) -> ResultT:
    """Return what `job` returns, or raise what it raises.

    Raises:
        NoAnswer: it takes longer than the deadline, for ever perhaps: a hung driver does that.
    """
    outcome: list[Callable[[], ResultT]] = []

    def run() -> None:
        try:
            value = job()
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            outcome.append(_raising(error))
        else:
            outcome.append(lambda: value)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(deadline_s)
    if not outcome:
        raise NoAnswer(f"no answer within {deadline_s:g} s")
    return outcome[0]()


def _raising(error: BaseException) -> Callable[[], NoReturn]:
    def outcome() -> NoReturn:
        raise error

    return outcome


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 if something keeps the agent from its work, else 0."""
    return int(any(finding.verdict is Verdict.FAIL for finding in findings))


def as_text(findings: Sequence[Finding]) -> str:
    """Return the findings for a person, each with what to do next."""
    width = max((len(finding.subject) for finding in findings), default=0)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.verdict:<4}  {finding.subject:<{width}}  {finding.sentence}")
        if finding.next_step:
            lines.append(f"{'':<4}  {'':<{width}}  → {finding.next_step}")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines) + (
        f"\n\n{_conclusion(findings)}\n"
    )


def as_json(findings: Sequence[Finding]) -> str:
    """Return the findings for a program."""
    entries = [
        {
            "subject": finding.subject,
            "verdict": finding.verdict.value,
            "sentence": finding.sentence,
            "next_step": finding.next_step,
        }
        for finding in findings
    ]
    return json.dumps({"ok": exit_code(findings) == 0, "findings": entries}, indent=2) + "\n"


def _conclusion(findings: Sequence[Finding]) -> str:
    failed = sum(finding.verdict is Verdict.FAIL for finding in findings)
    missing = sum(finding.verdict is Verdict.WARN for finding in findings)
    if failed:
        return f"{failed} of {len(findings)} failed: the agent cannot do its work here yet."
    if missing:
        return f"The agent can work here; {missing} of {len(findings)} could be better."
    return "The agent can work here."
