"""SQL files: numbered without gaps, complete for every tier, and in step with the catalogue."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

import sql
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group, Metric

ROLLUP_PARTS = ("sum", "count", "min", "max")


def texts(tier: str) -> str:
    return "\n".join(migration.text for migration in sql.migrations(tier))


def created(tier: str, table: str) -> list[str]:
    """The columns that `create table`, and later `alter table`, give a table, as `name type`."""
    match = re.search(rf"create table {table} \(\n(.*?)\n\)", texts(tier), re.DOTALL)
    assert match is not None, table
    lines = [line.strip().rstrip(",") for line in match[1].splitlines()]
    for more in re.finditer(rf"alter table {table}\s+(add column .*?);", texts(tier), re.DOTALL):
        added = re.split(r",\n", more[1])
        lines += [line.strip().removeprefix("add column ") for line in added]
    return [" ".join(line.split()[:2]) for line in lines if re.match(r"[a-z_0-9]+ [a-z]", line)]


def listed(file: str, block: str) -> list[str]:
    """The columns of the first parenthesis of a statement."""
    match = re.search(r"\(\n(.*?)\n\)", sql.queries(file)[block], re.DOTALL)
    assert match is not None
    return [line.strip().rstrip(",") for line in match[1].splitlines()]


def declared(metrics: tuple[Metric, ...]) -> list[str]:
    return [f"{metric.name} {metric.sql_type}" for metric in metrics]


@pytest.mark.parametrize("tier", sql.TIERS)
def test_migrations_are_numbered_without_gaps(tier: str) -> None:
    numbers = [migration.number for migration in sql.migrations(tier)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_migration_file_belongs_to_a_tier() -> None:
    names = {file.name for file in (files(sql) / "migrations").iterdir()}
    tier = f"({'|'.join(sql.TIERS)})"
    pattern = re.compile(rf"^\d{{4}}_[a-z0-9_]+(\.{tier}(\+{tier})*)?\.sql$")
    assert [name for name in names if not pattern.match(name)] == []


@pytest.mark.parametrize("tier", sql.TIERS)
def test_every_migration_says_what_it_locks(tier: str) -> None:
    silent = [
        migration.title
        for migration in sql.migrations(tier)
        if "lock" not in migration.text.split("\n\n")[0].lower()
    ]
    assert silent == []


@pytest.mark.parametrize("tier", sql.TIERS)
@pytest.mark.parametrize(
    ("table", "group"), [("samples", Group.FAST), ("slow_samples", Group.SLOW)]
)
def test_sample_tables_have_the_columns_of_the_catalogue(
    tier: str, table: str, group: Group
) -> None:
    head = ["time timestamptz", "gpu_id integer"]
    assert created(tier, table) == head + declared(CATALOGUE.group(group))


@pytest.mark.parametrize(
    ("block", "group"), [("copy_samples", Group.FAST), ("copy_slow_samples", Group.SLOW)]
)
def test_rows_are_copied_in_the_order_of_the_catalogue(block: str, group: Group) -> None:
    names = [metric.name for metric in CATALOGUE.group(group)]
    assert listed("collector_samples", block) == ["time", "gpu_id", *names]


@pytest.mark.parametrize("group", Group)
def test_state_is_staged_and_kept_for_the_live_metrics(group: Group) -> None:
    metrics = tuple(metric for metric in CATALOGUE.live() if metric.group is group)
    arrays = [f"{entry}[]" for entry in declared(metrics)]
    head = ["host_id", "time", "boot_epoch", "seq", "gpu_ids"]
    copied = listed("collector_newest", f"copy_{group}_state")
    assert copied == head + [metric.name for metric in metrics]
    assert listed("collector_newest", f"make_{group}_state_in")[len(head) :] == arrays
    assert set(arrays) <= set(created("postgres", "host_state"))
    merge = sql.queries("collector_newest")[f"merge_{group}_state"]
    assert [m.name for m in metrics if f"{m.name} = excluded.{m.name}" not in merge] == []
    others = [m.name for m in CATALOGUE.live() if m.group is not group]
    assert [name for name in others if f"{name} = case when" not in merge] == []


@pytest.mark.parametrize(
    ("table", "stage", "key"),
    [
        ("facility_rollup_10s", "facility_rollup", "facility_id"),
        ("rack_rollup_1m", "rack_rollup", "rack_id"),
    ],
)
def test_sums_are_kept_for_the_rolled_up_metrics(table: str, stage: str, key: str) -> None:
    parts = [f"{metric.name}_{part}" for metric in CATALOGUE.rollup() for part in ROLLUP_PARTS]
    expected = ["bucket", key, "sample_rows", "throttled_rows", *parts]
    names = [entry.split()[0] for entry in created("postgres", table)]
    assert names == [*expected, "primary"]  # the last line is the key
    assert listed("collector_sums", f"copy_{stage}") == expected
    merge = sql.queries("collector_sums")[f"merge_{stage}"]
    for name in expected[2:]:
        ending = name.rsplit("_", 1)[1]
        joined = {"min": f"least({table}.{name},", "max": f"greatest({table}.{name},"}
        assert joined.get(ending, f"{name} = {table}.{name} + excluded.{name}") in merge


def query_files() -> list[str]:
    folder = files(sql) / "queries"
    return sorted(file.name.removesuffix(".sql") for file in folder.iterdir())


@pytest.mark.parametrize("file", query_files())
def test_every_query_is_one_statement_that_ends(file: str) -> None:
    for name, text in sql.queries(file).items():
        statement = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        assert statement.rstrip().endswith(";"), f"{file}: {name}"


@pytest.mark.parametrize("file", [name for name in query_files() if "collector" in name])
def test_every_query_is_described(file: str) -> None:
    assert [name for name, text in sql.queries(file).items() if not text.startswith("-- ")] == []


def test_a_name_that_stands_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path
    (folder / "queries").mkdir()
    (folder / "queries" / "x.sql").write_text("-- name: a\nselect 1;\n\n-- name: a\nselect 2;\n")
    monkeypatch.setattr(sql, "files", lambda _package: folder)
    with pytest.raises(ValueError, match="twice"):
        sql.queries("x")


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="not a storage tier"):
        sql.migrations("mysql")
