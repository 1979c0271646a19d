"""Judging: from what is on record and what the rules say now to what becomes of each alert.

Owns which verdict reaches which alert, and what of an alert changes. A subject that a rule no
longer mentions is good; all subjects of a rule that failed are held; alerts of a rule that is gone
end. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alerts.alert import Alert
from alerts.evaluate import Answer
from alerts.mutes import Inhibitors, Silence, find_silence
from alerts.offences import Offence, Verdict, render_summary
from alerts.rules import Rule
from alerts.state import Life, State, Timing, advance

# What an alert says is rewritten so often when nothing but its figures change.
REWRITE_INTERVAL = timedelta(seconds=30)

_AT_ONCE = Timing(timedelta(0), timedelta(0), timedelta(0))

AlertKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Birth:
    """An offence that nothing is on record of."""

    rule: Rule
    offence: Offence


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of the alerts.

    Attributes:
        alerts: all that are on record now.
        changed: keys of those to be written.
        forgotten: ids of those that were pending and came to nothing.
        group_keys: the incident group of each alert that an answer mentioned.
        errors: rules whose summary could not be filled in, and why.
    """

    alerts: dict[AlertKey, Alert]
    changed: set[AlertKey] = field(default_factory=set)
    forgotten: list[int] = field(default_factory=list)
    group_keys: dict[AlertKey, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def find_births(answers: Iterable[Answer], alerts: Mapping[AlertKey, Alert]) -> list[Birth]:
    """Return the offences that need a new row."""
    return [
        Birth(answer.rule, offence)
        for answer in answers
        for offence in (answer.offences or {}).values()
        if offence.verdict is Verdict.BAD and (answer.rule.name, offence.key) not in alerts
    ]


def bear(
    births: Sequence[Birth], ids: Sequence[int], labels: Sequence[dict[str, Any]], now: datetime
) -> dict[AlertKey, Alert]:
    """Return a record for each birth, as yet without anything judged."""
    born = {}
    for birth, alert_id, names in zip(births, ids, labels, strict=True):
        rule, offence = birth.rule, birth.offence
        alert = Alert(
            alert_id=alert_id,
            rule=rule.name,
            key=offence.key,
            incident_id=None,
            facility_id=offence.facility_id,
            host_id=offence.host_id,
            gpu_id=offence.gpu_id,
            labels=names,
            severity=offence.severity,
            summary="",
            action=offence.action,
            measured={},
            started_at=_started(offence, now),
            updated_at=now,
            life=Life(State.PENDING, now),
        )
        born[rule.name, offence.key] = alert
    return born


def judge(
    before: Mapping[AlertKey, Alert],
    born: Mapping[AlertKey, Alert],
    answers: Mapping[str, Answer],
    known_rules: Mapping[str, Rule],
    now: datetime,
    flap_window: timedelta,
) -> Judgement:
    """Advance every alert whose rule was asked, or is no more.

    Args:
        before: what was on record.
        born: what is new.
        answers: by rule, of those that were due.
        known_rules: all rules, and those that are broken: their alerts do not end.
        now: the time of this pass.
        flap_window: how close together two starts are flapping.
    """
    result = Judgement({**before, **born}, changed=set(born))
    for key, alert in list(result.alerts.items()):
        answer = answers.get(alert.rule)
        if answer is None:
            if alert.rule in known_rules or alert.life.state is State.RESOLVED:
                continue
            _settle(result, key, advance(alert.life, Verdict.GOOD, now, _AT_ONCE))
            continue
        offence = (answer.offences or {}).get(alert.key)
        verdict = Verdict.HOLD if answer.offences is None else Verdict.GOOD
        if offence is not None:
            verdict = offence.verdict
            result.group_keys[key] = offence.group_key
        rule = answer.rule
        timing = Timing(timedelta(seconds=rule.for_s), timedelta(seconds=rule.clear_s), flap_window)
        # A newborn has lived nothing yet, so that its first verdict counts from now.
        life = advance(None if key in born else alert.life, verdict, now, timing)
        _settle(result, key, life)
        if verdict is Verdict.BAD and offence is not None and life is not None:
            _describe(result, key, rule, offence, now)
    return result


def mute(result: Judgement, rules: Mapping[str, Rule], silences: Sequence[Silence]) -> None:
    """Note on every open alert what explains or silences it."""
    inhibitors = Inhibitors(result.alerts.values(), rules)
    for key, alert in result.alerts.items():
        if alert.life.state is State.RESOLVED:
            continue
        inhibited_by, silenced_by = inhibitors.find(alert), find_silence(alert, silences)
        if (alert.inhibited_by, alert.silenced_by) != (inhibited_by, silenced_by):
            result.alerts[key] = replace(alert, inhibited_by=inhibited_by, silenced_by=silenced_by)
            result.changed.add(key)


def _settle(result: Judgement, key: AlertKey, life: Life | None) -> None:
    """Give an alert its new life, or forget it."""
    alert = result.alerts[key]
    if life is None:
        if key in result.changed:
            result.changed.discard(key)
        result.forgotten.append(alert.alert_id)
        del result.alerts[key]
        return
    if life == alert.life:
        return
    result.changed.add(key)
    if life.state is State.FIRING and life.fired_at != alert.life.fired_at:
        # It fires anew: whoever acknowledged it before has to look again.
        alert = replace(alert, acknowledged_by=None, acknowledged_at=None)
    result.alerts[key] = replace(alert, life=life)


def _describe(
    result: Judgement, key: AlertKey, rule: Rule, offence: Offence, now: datetime
) -> None:
    """Bring what an alert says up to date, at once where it matters and else now and then."""
    alert = result.alerts[key]
    due = key in result.changed or offence.severity != alert.severity
    if not due and now - alert.updated_at < REWRITE_INTERVAL:
        return
    summary, problem = render_summary(rule, alert.labels, offence.measured)
    if problem is not None:
        result.errors[rule.name] = problem
    described = replace(
        alert,
        severity=offence.severity,
        summary=summary,
        action=offence.action,
        measured=offence.measured,
        updated_at=now,
    )
    if replace(described, updated_at=alert.updated_at) != alert or due:
        result.alerts[key] = described
        result.changed.add(key)


def _started(offence: Offence, now: datetime) -> datetime:
    return now if offence.since is None else min(offence.since, now)
