"""What the log says of refused messages: at once, and then once a minute however many there are.

Owns the pace. A stranger's agent has a message refused every second; each of them is counted in the
collector's report and kept in `quarantine`, so that the log need not hold them too.
"""

import logging
from collections.abc import Sequence

from collector.intake import Rejected
from collector.timer import Timer

log = logging.getLogger(__name__)

SAY_EVERY_S = 60.0


class Refusals:
    """Refused messages since the log last spoke of them."""

    def __init__(self) -> None:
        self._pace = Timer(SAY_EVERY_S)
        self._unsaid = 0
        self._newest: Rejected | None = None

    def note(self, rejected: Sequence[Rejected], now_s: float) -> None:
        """Take those of a batch, none as well; say what is unsaid when it is time."""
        if rejected:
            self._unsaid += len(rejected)
            self._newest = rejected[-1]
        if self._newest is None or not self._pace.is_due(now_s):
            return
        log.warning(
            "quarantined %d messages, the newest for %s: %s",
            self._unsaid,
            self._newest.reason,
            self._newest.detail,
        )
        self._unsaid, self._newest = 0, None
