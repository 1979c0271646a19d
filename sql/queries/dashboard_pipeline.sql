-- The Pipeline page: the instrument watching itself.

-- name: collectors
-- Each collector about itself; those that have not reported for a day are history.
select
    instance,
    version,
    extract(epoch from started_at)::float8 as started_s,
    extract(epoch from reported_at)::float8 as reported_s,
    rows_stored,
    messages_stored,
    messages_repeated,
    messages_quarantined,
    values_out_of_range,
    rows_per_second,
    commit_seconds,
    lag,
    backlog,
    backlog_per_second,
    waiting_for,
    signatures,
    fetch_stalls
from collectors
where reported_at > now() - interval '1 day'
order by instance
limit 100;

-- name: agents
-- The agents of each facility, added up. Silent is an agent that has not been heard for a minute.
select
    h.facility_id,
    count(*)::int as hosts,
    count(a.host_id)::int as known,
    count(*) filter (where a.time > now() - interval '1 minute')::int as heard,
    count(*) filter (where a.signed)::int as signed,
    array_agg(distinct a.agent_version) filter (where a.agent_version is not null) as versions,
    sum(a.spool_messages)::float8 as spool_messages,
    sum(a.spool_bytes)::float8 as spool_bytes,
    max(a.spool_messages)::float8 as spool_messages_max,
    extract(epoch from min(a.spool_oldest))::float8 as spool_oldest_s,
    max(a.tick_duration_us)::float8 / 1000 as tick_milliseconds_max,
    max(a.resident_bytes)::float8 as resident_bytes_max,
    extract(epoch from max(a.time))::float8 as newest_s
from hosts h
left join agent_state a using (host_id)
group by 1;

-- name: streams
-- How far each topic is read: messages behind are those between the stored offset and the end; left
-- behind are older ones, which wait for these.
select
    topic,
    count(*)::int as partitions,
    sum(greatest(0, coalesce(end_offset, next_offset) - next_offset))::float8 as behind,
    coalesce(sum((
        select sum(upper(span) - lower(span))
        from unnest(backlog) as span
    )), 0)::float8 as left_behind,
    sum(next_offset)::float8 as stored,
    extract(epoch from max(updated_at))::float8 as updated_s
from stream_offsets
where retired_at is null
group by topic
order by topic;

-- name: quarantine
-- What could not be stored in the last day, by reason, with the newest of each.
select distinct on (reason)
    reason,
    count(*) over (partition by reason)::int as count,
    topic,
    partition,
    "offset",
    detail,
    payload_bytes,
    extract(epoch from quarantined_at)::float8 as newest_s
from quarantine
where quarantined_at > now() - interval '1 day'
order by reason, quarantined_at desc
limit 50;

-- name: identities
-- What came in the last day in the name of hosts that no key stands for, by reason.
select
    reason,
    count(*)::int as hosts,
    sum(messages)::float8 as messages,
    bool_or(refused) as refused,
    min(host) as host
from identity_findings
where last_at > now() - interval '1 day'
group by reason
order by reason;

-- name: delivery
-- Every message that agents have given out, by stream: stored, or said to be dropped, or open.
select
    m.stream,
    sum(m.stored_messages)::float8 as stored,
    sum(m.repeated_messages)::float8 as repeated,
    sum(greatest(0, coalesce(m.last_sent_seq, m.last_seq) - m.last_seq))::float8 as not_arrived
from host_marks m
group by m.stream
order by m.stream;

-- name: gaps
-- Messages that are missing between stored ones, by stream and reason; no reason: nobody said why.
select
    stream,
    reason,
    count(*)::int as ranges,
    count(distinct host_id)::int as hosts,
    sum(last_seq - first_seq + 1)::float8 as messages,
    extract(epoch from max(noticed_at))::float8 as newest_s
from sequence_gaps
group by stream, reason
order by messages desc
limit 50;

-- name: lost_ranges
-- What the broker had deleted before it was read.
select
    topic,
    count(*)::int as ranges,
    sum(last_offset - first_offset + 1)::float8 as messages,
    max(reason) as reason,
    extract(epoch from max(noticed_at))::float8 as newest_s
from lost_ranges
group by topic;

-- name: database
-- Size, connections, and what kind of storage this is.
select
    pg_database_size(current_database())::float8 as bytes,
    (select count(*) from pg_stat_activity where datname = current_database())::int
        as connections,
    current_setting('max_connections')::int as connections_max,
    current_setting('server_version') as version,
    (select extversion from pg_extension where extname = 'timescaledb') as timescale;

-- name: ingest
-- Rows that arrived for each moment, by step, all facilities together.
select
    extract(epoch from date_bin(
        make_interval(secs => %(step_s)s), bucket, 'epoch'::timestamptz
    ))::float8 as bucket_s,
    (sum(sample_rows) / %(step_s)s)::float8 as rows_per_second
from facility_rollup
where step_s = %(rollup_s)s
    and bucket >= to_timestamp(%(start_s)s)
    and bucket < to_timestamp(%(end_s)s)
group by 1
order by 1;
