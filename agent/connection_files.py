"""The files that the connection to Kafka needs: whether they were replaced, and when they end.

Owns how often they are looked at. What is in them is `telemetry/kafka_door.py`'s.
"""

import logging

from telemetry import kafka_door
from telemetry.records import Event, EventKind
from telemetry.streams import KafkaSettings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
WARN_EVERY_S = 86_400.0


class ConnectionFiles:
    """Certificates, keys and passwords on this host's disk."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._stamp = kafka_door.stamp(settings)
        self._look_at_s = self._warn_at_s = float("-inf")

    def look(self, now_s: float, wall_s: float) -> tuple[bool, Event | None]:
        """Return whether a file was replaced, and a warning where the certificate ends soon.

        Args:
            now_s: monotonic time, for when to look next.
            wall_s: seconds since 1970, for how long the certificate holds.
        """
        if now_s < self._look_at_s:
            return False, None
        self._look_at_s = now_s + LOOK_EVERY_S
        found = kafka_door.stamp(self._settings)
        changed, self._stamp = found != self._stamp, found
        if changed:
            log.info("the files of the connection to Kafka were replaced")
        if now_s < self._warn_at_s and not changed:
            return changed, None
        self._warn_at_s = now_s + WARN_EVERY_S
        return changed, self._warning(wall_s)

    def _warning(self, wall_s: float) -> Event | None:
        left = kafka_door.days_left(self._settings, wall_s)
        if left is None or left > kafka_door.WARN_DAYS:
            return None
        path = self._settings.kafka_ssl_certificate_file
        sentence = f"the certificate {path} for Kafka ends in {max(0.0, left):.1f} days"
        log.warning("%s", sentence)
        return Event(
            time_us=round(wall_s * 1e6),
            kind=EventKind.CERTIFICATE_EXPIRING,
            code=max(0, int(left)),
            message=sentence[:1024],
        )
