"""One receiver's queue on a real database: order, repeats, patience, fallback."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts import outbox
from alerts.database import Connection, connect
from alerts.notifiers import Delivery, Outcome, make_notifier
from alerts.sender import Sender
from alerts.settings import AlertSettings
from alerts.settings import Receiver as ReceiverSettings
from alerts.store import put_messages
from telemetry.stop import StopSignal
from tests.fix_alerts import EPOCH, TestClock
from tests.fix_receiver import Receiver, answer, drip, hang_up

LOOPBACK = "127.0.0.0/8"
SETTINGS = AlertSettings(webhook_allow_networks=LOOPBACK)


@pytest.fixture
def connection(alerts_url: str) -> Iterator[Connection]:
    with connect(alerts_url, "test") as connection:
        yield connection


def put(connection: Connection, *words: str, receiver: str = "hook", age_s: float = 0) -> None:
    created_at = datetime.fromtimestamp(EPOCH.timestamp() - age_s, UTC)
    put_messages(
        connection,
        [
            {
                "receiver": receiver, "incident_id": None, "dedup_key": f"key-{word}",
                "body": f'{{"word": "{word}"}}', "created_at": created_at,
            }
            for word in words
        ],
    )  # fmt: skip


def rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    return connection.execute(query.encode()).fetchall()


def states(connection: Connection) -> list[str]:
    return [
        row["state"] for row in rows(connection, "select state from outbox order by message_id")
    ]


def make_sender(
    url: str, clock: TestClock, *, name: str = "hook", fallback: str = "", **settings: Any
) -> Sender:
    record = AlertSettings(
        webhook_allow_networks=LOOPBACK, **{"webhook_timeout_s": 1.0, **settings}
    )
    receiver = ReceiverSettings(url=url, fallback=fallback)
    return Sender(name, receiver, record, clock, threading.Event())


def test_no_token_of_a_url_reaches_a_log(
    receiver: Receiver, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.script = [answer(500), hang_up]
    clock = TestClock()
    sender = make_sender(receiver.url, clock)
    put(connection, "a")
    for _ in range(3):
        sender.step(connection)
        clock.seconds += 1000
    ours = [entry for entry in caplog.records if entry.name.startswith("alerts")]
    assert ours
    assert "canary" not in " ".join(entry.getMessage() for entry in ours)
    said = rows(connection, "select string_agg(error, ' ') as text from delivery_attempts")
    assert "canary" not in said[0]["text"]


def drain(sender: Sender, connection: Connection) -> int:
    count = 0
    while sender.step(connection):
        count += 1
    return count


def test_notices_leave_in_order_and_once(receiver: Receiver, connection: Connection) -> None:
    put(connection, "a", "b", "c")
    sender = make_sender(receiver.url, TestClock())
    assert drain(sender, connection) == 3
    assert drain(sender, connection) == 0
    assert [notice["word"] for notice in receiver.notices()] == ["a", "b", "c"]
    assert states(connection) == ["sent"] * 3


def test_f44_a_failed_one_is_tried_again_later_and_holds_back_what_follows(
    receiver: Receiver, connection: Connection
) -> None:
    receiver.script = [answer(503), answer(429, Retry_After="60")]
    clock = TestClock()
    sender = make_sender(receiver.url, clock)
    put(connection, "begin", "end")
    assert drain(sender, connection) == 1
    clock.seconds = 2
    assert drain(sender, connection) == 1
    clock.seconds = 61
    assert drain(sender, connection) == 0, "sooner than the receiver asked"
    clock.seconds = 63
    assert drain(sender, connection) == 2
    words = [notice["word"] for notice in receiver.notices()]
    assert words == ["begin", "begin", "begin", "end"]
    tries = rows(connection, "select outcome, status from delivery_attempts order by attempt_id")
    assert [(row["outcome"], row["status"]) for row in tries] == [
        ("retry", 503), ("retry", 429), ("delivered", 204), ("delivered", 204),
    ]  # fmt: skip


def test_f44_one_that_is_refused_does_not_hold_back_the_next(
    receiver: Receiver, connection: Connection
) -> None:
    receiver.script = [answer(400)]
    put(connection, "bad", "good")
    drain(make_sender(receiver.url, TestClock()), connection)
    assert states(connection) == ["refused", "sent"]


def test_f44_one_killed_between_sending_and_saying_so_sends_at_most_once_more(
    receiver: Receiver, connection: Connection
) -> None:
    put(connection, "a")
    clock = TestClock()
    claimed = outbox.claim(connection, "hook", clock.now, 21)
    assert claimed is not None
    make_notifier(ReceiverSettings(url=receiver.url), SETTINGS).send(claimed.message)
    # Here the process dies. Its successor finds the claim and lets it run out.
    successor = make_sender(receiver.url, clock)
    assert drain(successor, connection) == 0
    clock.seconds = 22
    assert drain(successor, connection) == 1
    keys = {got.headers["Idempotency-Key"] for got in receiver.received}
    assert (len(receiver.received), len(keys)) == (2, 1)
    assert states(connection) == ["sent"]


def test_two_senders_never_hold_the_same_notice(connection: Connection, alerts_url: str) -> None:
    put(connection, *"abcdefgh")
    taken: list[int] = []
    lock = threading.Lock()

    def take() -> None:
        with connect(alerts_url, "rival") as mine:
            for _ in range(40):
                claimed = outbox.claim(mine, "hook", EPOCH, 60)
                if claimed is not None:
                    with lock:
                        taken.append(claimed.message.message_id)
                    delivered = Delivery(Outcome.DELIVERED)
                    outbox.settle(mine, "hook", claimed, delivered, 0.0, EPOCH, 0)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == len(set(taken)) == 8


def test_f44_what_a_dead_receiver_does_not_take_goes_to_its_fallback_once(
    make_receiver: Callable[[], Receiver], connection: Connection
) -> None:
    dead, alive = make_receiver(), make_receiver()
    dead.usual = answer(500)
    clock = TestClock()
    pager = make_sender(dead.url, clock, name="pager", fallback="chat")
    chat = make_sender(alive.url, clock, name="chat")
    put(connection, "a", "b", receiver="pager")
    for second in (0, 299, 311, 700, 1400):
        clock.seconds = second
        drain(pager, connection)
        drain(chat, connection)
        if second == 299:
            assert alive.received == []
    assert [notice["word"] for notice in alive.notices()] == ["a", "b"]


def test_what_is_refused_goes_to_the_fallback_too(
    make_receiver: Callable[[], Receiver], connection: Connection
) -> None:
    strict, alive = make_receiver(), make_receiver()
    strict.script = [answer(422)]
    clock = TestClock()
    put(connection, "a", receiver="pager")
    pager = make_sender(strict.url, clock, name="pager", fallback="chat")
    drain(pager, connection)
    clock.seconds = 11
    drain(pager, connection)
    drain(make_sender(alive.url, clock, name="chat"), connection)
    assert [notice["word"] for notice in alive.notices()] == ["a"]


def test_old_news_is_given_up(receiver: Receiver, connection: Connection) -> None:
    put(connection, "old", age_s=90_000)
    put(connection, "new")
    drain(make_sender(receiver.url, TestClock()), connection)
    assert [notice["word"] for notice in receiver.notices()] == ["new"]
    assert states(connection) == ["expired", "sent"]


def test_f44_a_receiver_that_hangs_delays_no_other(
    make_receiver: Callable[[], Receiver], connection: Connection, alerts_url: str
) -> None:
    stuck, brisk = make_receiver(), make_receiver()
    stuck.usual = drip
    put(connection, *"abcd", receiver="stuck")
    put(connection, *"abcd", receiver="brisk")
    settings = AlertSettings(
        database_url=alerts_url, webhook_allow_networks=LOOPBACK, webhook_timeout_s=60
    )
    active, stop = threading.Event(), StopSignal()
    active.set()
    clock = TestClock()
    senders = [
        Sender(name, ReceiverSettings(url=each.url), settings, clock, active)
        for name, each in (("stuck", stuck), ("brisk", brisk))
    ]
    threads = [threading.Thread(target=each.run, args=(stop,), daemon=True) for each in senders]
    for thread in threads:
        thread.start()
    assert len(brisk.wait_for(4)) == 4
    assert len(stuck.received) <= 1
    stop.set()


def test_a_standby_sends_nothing(receiver: Receiver, alerts_url: str) -> None:
    with connect(alerts_url, "test") as connection:
        put(connection, "a")
    settings = AlertSettings(database_url=alerts_url, webhook_allow_networks=LOOPBACK)
    active, stop = threading.Event(), StopSignal()
    sender = Sender("hook", ReceiverSettings(url=receiver.url), settings, TestClock(), active)
    thread = threading.Thread(target=sender.run, args=(stop,), daemon=True)
    thread.start()
    sender.wake()
    time.sleep(0.5)
    assert receiver.received == []
    active.set()
    sender.wake()
    receiver.wait_for(1)
    stop.set()
    sender.wake()
    thread.join(20)
    assert not thread.is_alive()


def test_a_message_is_the_same_bytes_at_every_try(
    receiver: Receiver, connection: Connection
) -> None:
    receiver.script = [answer(500), answer(500)]
    clock = TestClock()
    sender = make_sender(receiver.url, clock)
    put(connection, "a")
    for _ in range(3):
        drain(sender, connection)
        clock.seconds += 1000
    assert len({got.body for got in receiver.received}) == 1
