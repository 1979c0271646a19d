"""Entries of the catalogue that look alike: one function a form, so that the table stays a table.

Owns what metrics of one form have in common: storage, range, unit, scale. Which metrics there are
stands in `catalogue.py`.
"""

from telemetry.metrics import Group, Kind, Metric

COUNT_MAX = 2**62


def percent(
    number: int,
    name: str,
    label: str,
    source: str,
    sentence: str,
    dcgm: str | None,
    otel: str | None = None,
    *,
    live: bool = False,
) -> Metric:
    """A share in percent that the driver gives as such."""
    return Metric(
        number,
        name,
        label,
        "i2",
        0,
        100,
        source,
        "%",
        1.0,
        sentence,
        otel=otel,
        dcgm=dcgm,
        live=live,
        rollup=live,
    )


def activity(
    number: int,
    name: str,
    label: str,
    gpm: int,
    sentence: str,
    dcgm: str | None,
    *,
    live: bool = False,
) -> Metric:
    """A share that GPM measures, in thousandths."""
    return Metric(
        number,
        name,
        label,
        "i2",
        0,
        1000,
        f"GPM {gpm}",
        "%",
        0.1,
        sentence,
        dcgm=dcgm,
        live=live,
        rollup=live,
    )


def rate(number: int, name: str, label: str, gpm: int, sentence: str) -> Metric:
    """Traffic that GPM measures."""
    return Metric(number, name, label, "i4", 0, 10**8, f"GPM {gpm}", "MiB/s", 1.0, sentence)


def celsius(
    number: int,
    name: str,
    label: str,
    source: str,
    sentence: str,
    dcgm: str | None,
    minimum: int = -40,
) -> Metric:
    """A temperature, or a distance between two."""
    return Metric(
        number,
        name,
        label,
        "i2",
        minimum,
        150,
        source,
        "°C",
        1.0,
        sentence,
        otel="hw.temperature" if dcgm else None,
        dcgm=dcgm,
        live=True,
        rollup=True,
    )


def clock(
    number: int, name: str, label: str, source: str, sentence: str, dcgm: str, *, live: bool = False
) -> Metric:
    """A clock."""
    return Metric(
        number,
        name,
        label,
        "i2",
        0,
        10_000,
        source,
        "MHz",
        1.0,
        sentence,
        dcgm=dcgm,
        live=live,
        rollup=live,
    )


def count(
    number: int,
    name: str,
    label: str,
    source: str,
    sentence: str,
    dcgm: str | None = None,
    *,
    live: bool = False,
) -> Metric:
    """A counter of the slow group."""
    return Metric(
        number,
        name,
        label,
        "i8",
        0,
        COUNT_MAX,
        source,
        "",
        1.0,
        sentence,
        kind=Kind.COUNTER,
        group=Group.SLOW,
        dcgm=dcgm,
        live=live,
    )


def flag(
    number: int,
    name: str,
    label: str,
    source: str,
    sentence: str,
    dcgm: str | None = None,
    *,
    live: bool = False,
) -> Metric:
    """Yes or no, in the slow group."""
    return Metric(
        number,
        name,
        label,
        "i2",
        0,
        1,
        source,
        "",
        1.0,
        sentence,
        kind=Kind.CODE,
        group=Group.SLOW,
        dcgm=dcgm,
        live=live,
    )


def banks(number: int, name: str, label: str, word: str, sentence: str) -> Metric:
    """How many banks of memory have so many spare rows."""
    return Metric(
        number,
        name,
        label,
        "i4",
        0,
        10**6,
        "nvmlDeviceGetRowRemapperHistogram",
        "",
        1.0,
        sentence,
        group=Group.SLOW,
        dcgm=f"DCGM_FI_DEV_BANKS_REMAP_ROWS_AVAIL_{word}",
    )


def bit_errors(number: int, name: str, label: str, field: int, what: str) -> Metric:
    """A bit error rate of the worst link, as a hundredfold negative exponent of ten."""
    return Metric(
        number,
        name,
        label,
        "i2",
        0,
        25_500,
        f"field {field}, each link",
        "",
        0.01,
        f"{what} of the worst NVLink as the exponent x of 10^-x; less is worse.",
        group=Group.SLOW,
    )
