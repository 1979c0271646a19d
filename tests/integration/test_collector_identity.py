"""Whose message it is, before a real database: enrolled keys, forgers, replays and clones."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from collector import agent_keys, status
from collector.key_ring import REFRESH_S
from telemetry.records import Dropped
from telemetry.signing import SigningKey, make_request
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, FixedClock, S, Shelf


@dataclass
class SignedHost(FakeHost):
    """A host with a key."""

    key_pair: SigningKey = field(default_factory=lambda: SigningKey(bytes(range(32))))

    def request(self) -> str:
        names = {"tenant": self.tenant, "facility": self.facility, "host": self.name}
        return make_request(self.key_pair, **names, now_us=NOW_US)


def key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


@pytest.fixture
def strict(collector_url: str, fixed_clock: FixedClock) -> Iterator[Shelf]:
    made = Shelf(collector_url, fixed_clock, signatures="required")
    yield made
    made.connection.close()


def enrol(shelf: Shelf, host: SignedHost) -> agent_keys.Key:
    enrolled, is_new = agent_keys.request(shelf.connection, host.request(), "test")
    assert is_new
    assert agent_keys.approve(shelf.connection, enrolled, "operator")
    return enrolled


def send(shelf: Shelf, value: bytes, signer: SigningKey | None) -> None:
    """Store one message, signed or not, after the time that the next note of findings takes."""
    shelf.clock.seconds += 3.0
    (record,) = shelf.append(Stream.SAMPLES, value)
    record.signature = None if signer is None else signer.sign_message(value)
    shelf.writer.store([record], shelf.claims)


def refused(shelf: Shelf) -> list[str]:
    return [reason for (reason,) in shelf.rows("select reason from quarantine order by 1")]


def findings(shelf: Shelf) -> list[Any]:
    return shelf.rows("select host, reason, messages, refused from identity_findings order by 1, 2")


def test_an_enrolled_hosts_messages_are_stored(strict: Shelf) -> None:
    host = SignedHost()
    enrol(strict, host)
    send(strict, host.samples([NOW_US]), host.key_pair)
    assert strict.one("select count(*) from samples") == 2
    assert refused(strict) == []
    assert findings(strict) == []


def test_t01_a_host_that_signs_as_another_is_refused_and_the_other_is_untouched(
    strict: Shelf,
) -> None:
    victim, forger = SignedHost("node-1"), SignedHost("node-2", key_pair=key(2))
    enrol(strict, victim)
    enrol(strict, forger)
    send(strict, victim.samples([NOW_US]), victim.key_pair)
    books = strict.rows("select * from host_marks")
    names = FakeHost("node-1")
    # Numbers far ahead, numbers that are next, a body that is broken, and a lie about what is lost.
    send(strict, names.samples([NOW_US + S], seq=900), forger.key_pair)
    send(strict, names.samples([NOW_US + S], seq=2), forger.key_pair)
    send(strict, names.events(seq=2), forger.key_pair)
    lie = Dropped(
        time_us=NOW_US, stream="samples", boot_epoch=1, first_seq=2, last_seq=99, reason="lie"
    )
    shelf_event = names.events(lie, seq=1)
    (record,) = strict.append(Stream.EVENTS, shelf_event)
    record.signature = forger.key_pair.sign_message(shelf_event)
    strict.writer.store([record], strict.claims)
    # And as it stands, without a signature or with one that was copied from another message.
    send(strict, names.samples([NOW_US + S], seq=2), None)
    copied = victim.key_pair.sign_message(b"another message")
    (record,) = strict.append(Stream.SAMPLES, names.samples([NOW_US + S], seq=2))
    record.signature = copied
    strict.clock.seconds += 3.0
    strict.writer.store([record], strict.claims)

    assert refused(strict) == ["bad_signature", "unsigned", *["wrong_host"] * 3, "wrong_topic"]
    assert strict.rows("select * from host_marks") == books
    assert strict.one("select count(*) from samples") == 2
    assert strict.rows("select * from sequence_gaps") == []
    assert findings(strict) == [
        ("node-1", "bad_signature", 1, True),
        ("node-1", "unsigned", 1, True),
        ("node-1", "wrong_host", 4, True),
    ]
    kinds = strict.rows("select distinct kind from events join hosts using (host_id)")
    assert kinds == [("identity_refused",)]
    # The next true message follows the last true one.
    send(strict, victim.samples([NOW_US + S]), victim.key_pair)
    assert strict.one("select last_seq from host_marks where stream = 'samples'") == 2


def test_t02_signed_messages_that_are_replayed_store_nothing(strict: Shelf) -> None:
    host = SignedHost()
    enrol(strict, host)
    values = [host.samples([NOW_US + tick * S]) for tick in range(5)]
    for value in values:
        send(strict, value, host.key_pair)
    before = strict.rows("select * from samples order by 1, 2")
    for value in reversed(values):
        send(strict, value, host.key_pair)
    assert strict.rows("select * from samples order by 1, 2") == before
    assert strict.one("select repeated_messages from host_marks") == 5
    # In another host's name they are no longer what was signed.
    assert refused(strict) == []


def test_t03_a_revoked_key_is_refused_within_a_minute(strict: Shelf) -> None:
    host = SignedHost()
    enrolled = enrol(strict, host)
    send(strict, host.samples([NOW_US]), host.key_pair)
    with psycopg.connect(strict.url, autocommit=True) as elsewhere:
        assert agent_keys.revoke(elsewhere, enrolled, "operator")
    # Without a word from the database, as behind a pooler, by the next look at the keys.
    strict.clock.seconds += REFRESH_S
    assert REFRESH_S * 2 <= 60
    send(strict, host.samples([NOW_US + S]), host.key_pair)
    assert refused(strict) == ["revoked_key"]
    assert strict.one("select count(*) from samples") == 2
    assert not agent_keys.approve(strict.connection, enrolled, "operator")


def test_t03_a_revocation_is_heard_of_at_once(strict: Shelf) -> None:
    host = SignedHost()
    enrolled = enrol(strict, host)
    send(strict, host.samples([NOW_US]), host.key_pair)
    with psycopg.connect(strict.url, autocommit=True) as elsewhere:
        agent_keys.revoke(elsewhere, enrolled, "operator")
    # Two, because the notice comes with the answer to a statement; no time passes.
    for seq in (2, 3):
        send(strict, host.samples([NOW_US + seq * S]), host.key_pair)
    assert refused(strict)[-1] == "revoked_key"


def test_t03_a_key_that_replaces_another_overlaps_with_it(strict: Shelf) -> None:
    host = SignedHost()
    old = enrol(strict, host)
    first, second = host.key_pair, key(9)
    host.key_pair = second
    enrol(strict, host)
    until = strict.one(
        "select valid_until - now() > interval '23 hours' from agent_keys where valid_until > now()"
    )
    assert until
    now_us = strict.one("select (extract(epoch from now()) * 1000000)::bigint")
    strict.clock.time_us = now_us
    strict.clock.seconds += REFRESH_S
    for signer in (first, second, first):
        send(strict, host.samples([now_us]), signer)
    assert refused(strict) == []
    # A day later the old key is no more; what was made before its end may still come for a week.
    strict.clock.time_us += 25 * 3600 * S
    late = host.samples([now_us], seq=4)
    send(strict, late, first)
    assert refused(strict) == []
    strict.clock.time_us += 7 * 86_400 * S
    send(strict, host.samples([strict.clock.time_us], seq=5), first)
    assert refused(strict) == ["expired_key"]
    actions = strict.rows("select action, actor from agent_key_audit order by audit_id")
    assert actions == [
        ("requested", "test"), ("approved", "operator"),
        ("requested", "test"), ("approved", "operator"), ("replaced", "operator"),
    ]  # fmt: skip
    assert old.state == "requested"


def test_a_key_that_waits_for_approval_proves_nothing_yet(strict: Shelf) -> None:
    host = SignedHost()
    agent_keys.request(strict.connection, host.request(), "test")
    send(strict, host.samples([NOW_US]), host.key_pair)
    send(strict, FakeHost("nobody").samples([NOW_US]), key(7))
    assert refused(strict) == ["key_not_approved", "unknown_key"]
    # A name that nobody has heard of makes no row of its own, and no host.
    assert findings(strict) == [
        ("", "unknown_key", 1, True),
        ("node-1", "key_not_approved", 1, True),
    ]
    assert strict.rows("select host from hosts") == []


def test_observing_notes_what_is_wrong_and_stores_it(
    collector_url: str, fixed_clock: FixedClock
) -> None:
    shelf = Shelf(collector_url, fixed_clock, signatures="observe")
    host, other = SignedHost(), SignedHost("node-2", key_pair=key(2))
    enrol(shelf, host)
    enrol(shelf, other)
    send(shelf, host.samples([NOW_US]), host.key_pair)
    send(shelf, host.samples([NOW_US + S]), None)
    send(shelf, host.samples([NOW_US + 2 * S]), other.key_pair)
    assert shelf.one("select count(*) from samples") == 6
    assert findings(shelf) == [("node-1", "wrong_host", 1, False)]
    shelf.connection.close()


def test_the_audit_of_keys_cannot_be_changed(strict: Shelf) -> None:
    enrol(strict, SignedHost())
    for statement in ("delete from agent_key_audit", "update agent_key_audit set actor = 'me'"):
        with suppress(psycopg.Error):
            strict.connection.execute(statement)
    assert strict.one("select count(*) from agent_key_audit where actor <> 'me'") == 2


def test_t05_a_flood_of_invented_hosts_is_one_finding_and_no_host(strict: Shelf) -> None:
    strict.clock.seconds += 3.0
    values = [FakeHost(f"ghost-{number}").samples([NOW_US]) for number in range(500)]
    records = strict.append(Stream.SAMPLES, *values)
    for record, value in zip(records, values, strict=True):
        record.signature = key(3).sign_message(value)
    strict.writer.store(records, strict.claims)
    assert findings(strict) == [("", "unknown_key", 500, True)]
    assert strict.one("select count(*) from hosts") == 0


@pytest.mark.parametrize("signatures", ["off", "observe", "required"])
def test_f10_two_agents_under_one_name_are_told_and_kept_apart(
    collector_url: str, fixed_clock: FixedClock, signatures: str
) -> None:
    shelf = Shelf(collector_url, fixed_clock, signatures=signatures)
    first, clone = (SignedHost(boot_epoch=epoch, gpus=gpus) for epoch, gpus in ((10, 2), (20, 3)))
    enrol(shelf, first)
    step = 10 * S
    for tick in range(8):
        for agent in (first, clone):
            agent.made_us = NOW_US + tick * step
            send(shelf, agent.samples([agent.made_us]), agent.key_pair)
    assert shelf.rows(
        "select boot_epoch, last_seq, stored_messages from host_marks order by 1"
    ) == [(10, 8, 8), (20, 8, 8)]
    assert shelf.rows("select * from sequence_gaps") == []
    assert shelf.one("select count(*) from samples") == 8 * (2 + 3)
    # The live view is of one of them, not of both mixed.
    assert shelf.rows("select boot_epoch, cardinality(gpu_ids) from host_state") == [(20, 3)]
    ((host, reason, _, _),) = findings(shelf)
    assert (host, reason) == ("node-1", "two_machines")
    assert shelf.rows("select kind from events") == [("identity_conflict",)]
    shelf.connection.close()


def test_f20_what_the_broker_lost_shows_as_a_hole_by_number(shelf: Shelf) -> None:
    host = FakeHost()
    messages = [host.samples([NOW_US + tick * S]) for tick in range(8)]
    shelf.store(Stream.SAMPLES, *messages[:3])
    # The log is cut short by an unclean election: offsets go on, numbers do not.
    shelf.store(Stream.SAMPLES, messages[6], messages[7])
    ((first, last, reason),) = shelf.rows("select first_seq, last_seq, reason from sequence_gaps")
    assert (first, last, reason) == (4, 6, None)
    found = status.read(shelf.connection)
    (account,) = found["hosts"]
    assert account["streams"]["samples"]["missing"] == 3
    assert any("3 not arrived" in line for line in status.describe(found))
    # Should they come after all, by a resend or a mirror, the hole is filled.
    shelf.store(Stream.SAMPLES, *messages[3:6])
    assert shelf.rows("select * from sequence_gaps") == []


def test_f10_a_restart_that_drains_the_old_spool_is_not_two_machines(shelf: Shelf) -> None:
    old, new = FakeHost(boot_epoch=10), FakeHost(boot_epoch=20)
    left = []
    for tick in range(60):
        old.made_us = NOW_US - (60 - tick) * 10 * S
        left.append(old.samples([old.made_us]))
    for tick, message in enumerate(left):
        new.made_us = NOW_US + tick * S
        send(shelf, new.samples([new.made_us]), None)
        send(shelf, message, None)
    assert findings(shelf) == []
