"""Evaluation: one rule asked, one answer.

Owns the transaction that a rule runs in: it reads for a bounded time and writes nothing, and what
goes wrong in it stays in its answer. A rule that failed says nothing about its subjects: their
alerts are held as they are.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from alerts.database import Connection
from alerts.offences import Offence, read_offences
from alerts.rules import Rule, RuleError
from sql import queries
from telemetry.clock import Clock

# The rule about rules. It has no file: it must work when files do not.
RULE_ERROR = Rule(
    name="rule_error",
    title="alert rules that do not work",
    severity="warning",
    key=("broken_rule",),
    group_by=("scope",),
    summary="the alert rule {broken_rule} does not work: {error}",
    action="Correct the rule's file, or give the database what the rule lacks, then restart.",
    runbook="What the rule watches is not watched meanwhile; its open alerts stay as they are.",
    body="",
    clear_s=60,
    wait_s=5,
    description="A rule could not be read, or its statement failed.",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a rule.

    Attributes:
        offences: by key; None where the rule failed.
        error: why it failed, in one line.
    """

    rule: Rule
    offences: dict[str, Offence] | None
    error: str | None
    evaluated_at: datetime
    milliseconds: float


def ask_rule(
    connection: Connection,
    rule: Rule,
    now: datetime,
    clock: Clock,
    *,
    timeout_s: float,
    offenders_max: int,
) -> Answer:
    """Run a rule's statement and read its rows.

    Raises:
        psycopg.OperationalError: the connection is gone, which is not the rule's fault.
    """
    started_s = clock.monotonic_s()
    offences, problem = None, None
    try:
        rows = _run(connection, rule, now, timeout_s, offenders_max)
        offences = read_offences(rule, rows)
    except (psycopg.Error, RuleError) as error:
        if connection.closed:
            raise
        problem = (str(error).strip() or type(error).__name__).splitlines()[0][:500]
    milliseconds = (clock.monotonic_s() - started_s) * 1000
    return Answer(rule, offences, problem, now, milliseconds)


def answer_rule_errors(errors: dict[str, str], now: datetime) -> Answer:
    """Answer the rule about rules."""
    rows = [
        {"verdict": "bad", "broken_rule": name, "scope": "rules", "error": error}
        for name, error in sorted(errors.items())
    ]
    return Answer(RULE_ERROR, read_offences(RULE_ERROR, rows), None, now, 0.0)


def _run(
    connection: Connection, rule: Rule, now: datetime, timeout_s: float, offenders_max: int
) -> list[dict[str, object]]:
    with connection.transaction():
        limit = {"timeout_ms": str(round(timeout_s * 1000))}
        connection.execute(queries("alerts")["limit_statement"], limit)
        # Rules of a deployment may be wrong in every way; one statement each is all they get.
        cursor = connection.execute(rule.body, {"now": now, "rule": rule.name})
        if cursor.description is None:
            raise RuleError("the statement returns no rows")
        rows = cursor.fetchmany(offenders_max + 1)
    if len(rows) > offenders_max:
        raise RuleError(f"more than {offenders_max} offenders")
    return rows
