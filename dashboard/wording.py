"""How numbers are said: separated thousands, units, ages, and a dash for what is not known.

Pure functions from numbers to words, used by all pages, so that one thing has one spelling.
"""

import math
from datetime import UTC, datetime

from dashboard.charts.series import Drain

DASH = "—"
THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
# What queues and their sources count, in the singular.
SINGULARS = {
    "GPUs": "GPU",
    "jobs": "job",
    "requests": "request",
    "entries": "entry",
    "messages": "message",
}


def number(value: float | None, digits: int = 0, sign: str = "-") -> str:
    """Return a number with thin spaces between thousands; with `+` as sign, growth has one too."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value:{sign}z,.{digits}f}".replace(",", THIN).replace("-", MINUS)


def brief(value: float | None) -> str:
    """Return a number in at most four characters and a letter: 412 k, 1.3 M."""
    if value is None or math.isnan(value):
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 9.9995 * size or (size > 1e3 and abs(value) >= size):
            scaled = value / size
            return f"{number(scaled, 0 if abs(scaled) >= 99.95 else 1)}{THIN}{letter}"
    return number(value, 1 if abs(value) < 10 and value != round(value) else 0)


def share(part: float | None, whole: float | None, digits: int = 1) -> str:
    """Return a part as per cent of the whole; a dash where there is no whole."""
    if part is None or not whole:
        return DASH
    return f"{100 * part / whole:.{digits}f}{THIN}%"


def with_unit(value: float | None, unit: str, digits: int = 0) -> str:
    """Return a number and its unit; only a dash where there is no number."""
    text = number(value, digits)
    return text if text == DASH or not unit else f"{text}{THIN}{unit_of(text, unit)}"


def watts(milliwatts: float | None) -> str:
    """Return a power in the unit that keeps it short."""
    if milliwatts is None or math.isnan(milliwatts):
        return DASH
    value = milliwatts / 1000
    for size, unit in ((1e6, "MW"), (1e3, "kW")):
        if value >= size:
            return f"{value / size:.{0 if value >= 100 * size else 1}f}{THIN}{unit}"
    return f"{value:.0f}{THIN}W"


def octets(value: float | None) -> str:
    """Return a size in bytes with a binary unit."""
    if value is None or math.isnan(value):
        return DASH
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if value >= 1024**power:
            scaled = value / 1024**power
            return f"{scaled:.{0 if scaled >= 100 else 1}f}{THIN}{unit}"
    return f"{value:.0f}{THIN}B"


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units; below a minute to the second."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}{THIN}s"
    for size, unit, below, lower in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // below
            tail = f" {rest}{THIN}{lower}" if rest and whole < 100 * size else ""
            return f"{whole // size}{THIN}{unit}{tail}"
    return DASH


def roughly(seconds: float) -> str:
    """Return a length of time in one unit, for estimates."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 0.95 * size:
            value = seconds / size
            return (
                f"{value:.1f}".removesuffix(".0") + THIN + unit
                if value < 9.5
                else (f"{value:.0f}{THIN}{unit}")
            )
    return f"{seconds:.0f}{THIN}s"


def drain_words(size: float, trend: Drain | None, unit: str = "") -> str:
    """Say when a backlog will be gone, with the band of the estimate; or that it grows.

    Its unit is needed where the size beside the words is told in another one, or in none.
    """
    if size <= 0:
        return "nothing waits"
    if trend is None:
        return "no trend yet"
    if trend.seconds is not None:
        low, high = (None if s is None else roughly(s) for s in (trend.low_s, trend.high_s))
        band = "" if low == high else f" ({low} – {high})"  # noqa: RUF001 - a span of time
        if high is None:
            band = ", if it holds"
        return f"empty in {roughly(trend.seconds)}{band}"
    if trend.per_hour < 0.02 * size:
        return "steady, not draining"
    growth = brief(trend.per_hour)
    per_hour = f" {unit_of(growth, unit)}/h" if unit else " an hour"
    return f"grows by {growth}{per_hour}"


def moment(epoch_s: float | None) -> str:
    """Return a date and a time of day, UTC."""
    if epoch_s is None:
        return DASH
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(epoch_s: float) -> str:
    """Return a time as machines write it, UTC, to the millisecond."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")


def plural(count: float, one: str, many: str | None = None) -> str:
    """Return a count with its word in the right number."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def unit_of(shown: str, unit: str) -> str:
    """Return a unit that is a word, as it stands behind a number that is shown: 1 job, 2 jobs."""
    return SINGULARS.get(unit, unit) if shown.lstrip(f"+{MINUS}") == "1" else unit
