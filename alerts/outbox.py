"""The outbox as a sender sees it: one receiver's queue, kept in the database.

Owns claiming and finishing. A message that was claimed and not finished comes back by itself, so a
sender that dies between sending and saying so causes one repeat and no miss. Receivers do not know
of each other, and a receiver's messages leave in the order in which they were decided.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.database import Connection
from alerts.notifiers import Delivery, Message, Outcome
from sql import queries


@dataclass(frozen=True, slots=True)
class Claim:
    """A message in hand."""

    message: Message
    created_at: datetime
    attempts: int


def claim(connection: Connection, receiver: str, now: datetime, claim_s: float) -> Claim | None:
    """Take the oldest message of a receiver, if it is due."""
    parameters = {"receiver": receiver, "now": now, "claim_s": claim_s}
    row = connection.execute(queries("alerts_outbox")["claim"], parameters).fetchone()
    if row is None:
        return None
    message = Message(row["message_id"], row["dedup_key"], row["body"])
    return Claim(message, row["created_at"], row["attempts"])


def settle(
    connection: Connection,
    receiver: str,
    claimed: Claim,
    delivery: Delivery,
    duration_s: float,
    now: datetime,
    pause_s: float,
) -> None:
    """Write down what came of a try, and when the next one is, if there is one."""
    message_id = claimed.message.message_id
    statements = queries("alerts_outbox")
    with connection.transaction():
        attempt = {
            "message_id": message_id,
            "now": now,
            "receiver": receiver,
            "outcome": delivery.outcome,
            "status": delivery.status,
            "duration_milliseconds": duration_s * 1000,
            "error": delivery.error,
        }
        connection.execute(statements["note_attempt"], attempt)
        if delivery.outcome is Outcome.RETRY:
            next_attempt_at = now + timedelta(seconds=pause_s)
            connection.execute(
                statements["postpone"],
                {
                    "message_id": message_id,
                    "next_attempt_at": next_attempt_at,
                    "error": delivery.error,
                },
            )
        else:
            state = "sent" if delivery.outcome is Outcome.DELIVERED else "refused"
            connection.execute(
                statements["finish"],
                {"message_id": message_id, "state": state, "now": now, "error": delivery.error},
            )


def tidy(
    connection: Connection,
    receiver: str,
    fallback: str,
    now: datetime,
    *,
    fallback_after_s: float,
    give_up_after_s: float,
) -> int:
    """Give up on what is stale, and hand what is late to the fallback; return how many."""
    statements = queries("alerts_outbox")
    stale = {
        "receiver": receiver,
        "now": now,
        "created_before": now - timedelta(seconds=give_up_after_s),
    }
    with connection.transaction():
        connection.execute(statements["expire"], stale)
        if not fallback:
            return 0
        late = {
            "receiver": receiver,
            "fallback": fallback,
            "now": now,
            "created_before": now - timedelta(seconds=fallback_after_s),
        }
        return connection.execute(statements["escalate"], late).rowcount
