"""The engine: one pass from the rules to the outbox.

Owns the order of things. Rules are asked one by one, each in a transaction of its own; then one
short transaction, fenced by the lease, writes down what became of alerts and incidents together
with the notices about them. What was decided is either all on record or none of it.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts import conversations, judge, store
from alerts.alert import Alert
from alerts.database import Connection, translated
from alerts.evaluate import RULE_ERROR, Answer, answer_rule_errors, ask_rule
from alerts.lease import Lease
from alerts.rules import Rule, RuleSet
from alerts.settings import AlertSettings
from sql import queries
from telemetry.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass came to.

    Attributes:
        asked: how many rules were due.
        changed: how many alerts were written.
        messages: how many notices went into the outbox.
        wake_at: when the next pass is due on account of an incident.
    """

    asked: int
    changed: int
    messages: int
    milliseconds: float
    wake_at: datetime | None


class Engine:
    """Evaluates rules for whoever holds the lease. One thread uses it."""

    def __init__(
        self, rule_set: RuleSet, settings: AlertSettings, lease: Lease, clock: Clock
    ) -> None:
        self._rules = {**rule_set.rules, RULE_ERROR.name: RULE_ERROR}
        self._broken = dict(rule_set.broken)
        self._settings = settings
        self._lease = lease
        self._clock = clock
        self._asked_s: dict[str, float] = {}
        self._failing: dict[str, str] = {}
        # A summary that cannot be filled in stays wrong until its file is corrected.
        self._wordless: dict[str, str] = {}

    def start(self, connection: Connection, xid_rows: list[dict[str, Any]]) -> None:
        """Begin as the active evaluator: write down rules and policy, and ask every rule anew."""
        self._asked_s.clear()
        with translated(), connection.transaction():
            self._lease.hold(connection)
            store.write_xid_policy(connection, xid_rows)
            known = [*self._rules, *self._broken]
            connection.execute(queries("alerts")["forget_rules"], {"rules": known})
            store.write_rules(connection, self._rule_rows({}))

    def next_due_s(self) -> float:
        """Return in how many seconds a rule is due."""
        now_s = self._clock.monotonic_s()
        dues = [
            self._asked_s.get(name, -1e9) + self._interval_s(rule) - now_s
            for name, rule in self._rules.items()
            if rule.body
        ]
        return max(0.0, min(dues, default=self._settings.evaluate_interval_s))

    def run_pass(self, connection: Connection, *, on_data: bool) -> Pass:
        """Ask the rules that are due, and act on their answers.

        Raises:
            LeaseLost: somebody else is active now; nothing was written.
            RetryableError: the database went away.
        """
        started_s = self._clock.monotonic_s()
        now = datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
        with translated():
            answers = self._ask(connection, now, on_data=on_data)
            result = self._act(connection, answers, now)
        milliseconds = (self._clock.monotonic_s() - started_s) * 1000
        return Pass(
            asked=len(answers),
            changed=result[0],
            messages=result[1],
            milliseconds=milliseconds,
            wake_at=result[2],
        )

    def _interval_s(self, rule: Rule) -> float:
        return rule.interval_s or self._settings.evaluate_interval_s

    def _ask(self, connection: Connection, now: datetime, *, on_data: bool) -> dict[str, Answer]:
        answers = {}
        for name, rule in self._rules.items():
            due_s = self._asked_s.get(name, -1e9) + self._interval_s(rule)
            if not rule.body or not (
                (on_data and rule.on_data) or self._clock.monotonic_s() >= due_s
            ):
                continue
            self._asked_s[name] = self._clock.monotonic_s()
            answer = ask_rule(
                connection,
                rule,
                now,
                self._clock,
                timeout_s=self._settings.statement_timeout_s,
                offenders_max=self._settings.offenders_max,
            )
            self._note_failure(name, answer.error)
            answers[name] = answer
            if answer.milliseconds > self._settings.lease_s * 1000 / 10:
                # Slow rules in a row must not cost the lease.
                self._lease.hold(connection)
        return answers

    def _note_failure(self, name: str, error: str | None) -> None:
        if error is not None and name not in self._failing:
            log.warning("the rule %s failed: %s", name, error)
        elif error is None and name in self._failing:
            log.info("the rule %s works again", name)
        if error is None:
            self._failing.pop(name, None)
        else:
            self._failing[name] = error

    def _act(
        self, connection: Connection, answers: dict[str, Answer], now: datetime
    ) -> tuple[int, int, datetime | None]:
        """Judge, talk and write it all down."""
        window = timedelta(seconds=self._settings.page_interval_s)
        errors = {**self._wordless, **self._broken, **self._failing}
        answers |= {RULE_ERROR.name: answer_rule_errors(errors, now)}
        known = {**self._rules, **dict.fromkeys(self._broken, RULE_ERROR)}
        books = store.read_books(connection, now, now - window)
        births = judge.find_births(answers.values(), books.alerts)
        born = judge.bear(
            births,
            store.new_ids(connection, "alert", len(births)),
            store.read_labels(connection, [birth.offence for birth in births]),
            now,
        )
        result = judge.judge(books.alerts, born, answers, known, now, window)
        judge.mute(result, self._rules, books.silences)
        self._wordless |= result.errors
        talk = self._talk(connection, books, result, now)
        written = [result.alerts[key] for key in result.changed]
        transitions = _transitions(books.alerts, written, now)
        # Nobody else writes while the lease holds, so what was read is still so; the transaction
        # is short, and its first statement is the proof.
        with connection.transaction():
            self._lease.hold(connection)
            # Incidents first: alerts point at them.
            store.write_incidents(connection, talk.changed)
            store.write_alerts(connection, written, result.forgotten, transitions)
            store.put_messages(connection, talk.messages)
            store.write_rules(connection, self._rule_rows(answers))
            if written or talk.changed:
                payload = {"payload": str(len(written))}
                connection.execute(queries("alerts")["announce"], payload)
        return len(written), len(talk.messages), talk.wake_at

    def _talk(
        self, connection: Connection, books: store.Books, result: judge.Judgement, now: datetime
    ) -> conversations.Talk:
        incidents = dict(books.incidents)
        needed = conversations.needed_groups(result.alerts, incidents, result.group_keys)
        fresh = store.new_ids(connection, "incident", len(set(needed.values())))
        joined = conversations.assign(needed, result.alerts, incidents, fresh, self._rules, now)
        result.changed.update(needed)
        return conversations.converse(
            result.alerts.values(), incidents, joined, self._rules, self._settings, now
        )

    def _rule_rows(self, answers: dict[str, Answer]) -> list[dict[str, Any]]:
        """Rows of `alert_rules` for what was asked; before the first time, for every rule."""
        now = datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
        asked = [answer.rule for answer in answers.values()] or list(self._rules.values())
        rows = []
        for rule in asked:
            answer = answers.get(rule.name)
            error = (answer and answer.error) or self._wordless.get(rule.name)
            rows.append(_rule_row(rule, answer, error, now))
        if not answers:
            for name, error in self._broken.items():
                rows.append(_broken_row(name, error, now))
        return rows


def _rule_row(
    rule: Rule, answer: Answer | None, error: str | None, now: datetime
) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "title": rule.title,
        "severity": rule.severity,
        "description": rule.description,
        "action": rule.action,
        "runbook": rule.runbook,
        "digest": rule.digest,
        "state": "failed" if error else "ok",
        "error": error,
        "evaluated_at": answer and answer.evaluated_at,
        "pass_milliseconds": answer and answer.milliseconds,
        "offenders": len(answer.offences) if answer and answer.offences is not None else None,
        "updated_at": now,
    }


def _broken_row(name: str, error: str, now: datetime) -> dict[str, Any]:
    empty = dict.fromkeys(("title", "description", "action", "runbook", "digest"), "")
    return {
        **empty, "rule": name, "severity": "warning", "state": "disabled", "error": error,
        "updated_at": now,
    }  # fmt: skip


def _transitions(
    before: dict[judge.AlertKey, Alert], written: list[Alert], now: datetime
) -> list[dict[str, Any]]:
    """Rows for the history: every change of state, but not that something was pending."""
    rows = []
    for alert in written:
        past = before.get((alert.rule, alert.key))
        same = past is not None and past.alert_id == alert.alert_id
        from_state = past.life.state if past is not None and same else None
        if alert.life.state != from_state:
            rows.append({
                "alert_id": alert.alert_id,
                "time": now,
                "from_state": from_state,
                "to_state": alert.life.state,
                "author": "evaluator",
                "note": "flapping" if alert.life.flapping else "",
            })  # fmt: skip
    return rows
