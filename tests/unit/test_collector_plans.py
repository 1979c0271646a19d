"""Plans that are made before anything is touched: migrations, topics, claims, tiers."""

import pytest

import sql
from collector import topics
from collector.migrate import Applied, checksum, plan
from collector.settings import MigrateSettings
from collector.tier import parse_version
from telemetry.errors import PermanentError

FIRST, SECOND = sql.Migration(1, "first", "select 1"), sql.Migration(2, "second", "select 2")


def applied(migration: sql.Migration) -> Applied:
    return Applied(migration.number, migration.title, "postgres", checksum(migration))


def test_what_is_not_applied_is_pending_in_order() -> None:
    assert plan([], [FIRST, SECOND]) == [FIRST, SECOND]
    assert plan([applied(FIRST)], [FIRST, SECOND]) == [SECOND]
    assert plan([applied(FIRST), applied(SECOND)], [FIRST, SECOND]) == []


def test_a_changed_migration_stops_everything() -> None:
    changed = sql.Migration(1, "first", "select 3")
    with pytest.raises(PermanentError, match=r"0001 .* has changed"):
        plan([applied(FIRST)], [changed, SECOND])


def test_a_schema_that_is_newer_than_the_program_stops_everything() -> None:
    with pytest.raises(PermanentError, match="older than the schema"):
        plan([applied(FIRST), applied(SECOND)], [FIRST])


def test_a_number_that_stands_twice_stops_everything() -> None:
    with pytest.raises(PermanentError, match="twice"):
        plan([], [FIRST, SECOND, sql.Migration(2, "other", "select 4")])


def test_topics_are_one_a_stream_with_explicit_settings() -> None:
    made = topics.wanted(MigrateSettings(kafka_topic_prefix="x", topic_retention_hours=2))
    assert [topic.name for topic in made] == ["x.samples", "x.events", "x.queues"]
    assert len({topic.partitions for topic in made}) == 1
    assert made[0].configs["retention.ms"] == "7200000"
    assert "min.insync.replicas" not in made[0].configs
    replicated = topics.wanted(MigrateSettings(topic_replication_factor=3))
    assert replicated[0].configs["min.insync.replicas"] == "2"


def test_differences_of_topics_are_said_one_by_one() -> None:
    topic = topics.wanted(MigrateSettings(topic_partitions=4))[0]
    as_wanted = dict(topic.configs)
    assert topics.differences(topic, 8, as_wanted) == []
    assert topics.differences(topic, 4, {}) == []
    found = topics.differences(topic, 2, as_wanted | {"cleanup.policy": "compact"})
    assert len(found) == 2
    assert "2 partitions" in found[0]
    assert "cleanup.policy=compact" in found[1]


@pytest.mark.parametrize(("text", "version"), [("2.18.1", (2, 18, 1)), ("2.30.0-dev", (2, 30, 0))])
def test_versions_of_timescaledb_compare_as_numbers(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version
