"""The error tree. Edges translate a library's errors into these; the core catches only these.

FleetgaugeError
├── ConfigError       a file, flag or variable is wrong: say where and why, exit with 2
├── DecodeError       bytes that are not a valid message: quarantine, count, go on
├── ReadError         one metric could not be read: it is NULL for this tick, and counted
├── DeviceLost        an accelerator no longer answers: raise an event, keep the others
├── RetryableError    a service is away or busy: back off and try again
└── PermanentError    going on would do harm: stop loudly
"""


class FleetgaugeError(Exception):
    """Every error that this product raises on purpose."""


class ConfigError(FleetgaugeError):
    """A setting is wrong.

    Attributes:
        problems: one line a problem, each as ``where:key: reason``.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class DecodeError(FleetgaugeError):
    """Bytes that are not a valid message of a version that this program reads.

    Attributes:
        reason: one word for counting (``truncated``, ``oversized``, ``version`` …).
        detail: one sentence for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class ReadError(FleetgaugeError):
    """One metric could not be read this time."""


class DeviceLost(FleetgaugeError):  # noqa: N818 - the field's word for it
    """An accelerator that was there no longer answers."""


class RetryableError(FleetgaugeError):
    """A service is away, busy or full; the same call may succeed later."""


class PermanentError(FleetgaugeError):
    """Going on would lose or corrupt data; the program stops and says why."""
