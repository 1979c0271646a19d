-- name: accounts
-- Per host and stream, over all starts of its agent: what was given out, what is stored, what was
-- dropped and why, what is still missing. Always sent = stored + dropped + missing.
with gaps as (
    select
        host_id,
        stream,
        boot_epoch,
        reason,
        sum(last_seq - first_seq + 1) as messages
    from sequence_gaps
    group by host_id, stream, boot_epoch, reason
),

gap_sums as (
    select
        host_id,
        stream,
        sum(messages) filter (where reason is null) as open_messages,
        sum(messages) filter (where reason is not null) as dropped_messages
    from gaps
    group by host_id, stream
),

reasons as (
    select
        host_id,
        stream,
        jsonb_object_agg(reason, messages) as dropped
    from (
        select
            host_id,
            stream,
            reason,
            sum(messages)::bigint as messages
        from gaps
        where reason is not null
        group by host_id, stream, reason
    ) as by_reason
    group by host_id, stream
),

marks as (
    select
        host_id,
        stream,
        sum(greatest(last_seq, coalesce(last_sent_seq, 0)))::bigint as sent,
        sum(last_seq)::bigint as seen,
        sum(stored_rows)::bigint as stored_rows,
        sum(repeated_messages)::bigint as repeated
    from host_marks
    group by host_id, stream
)

select
    facilities.tenant,
    facilities.facility,
    hosts.host,
    marks.stream,
    marks.sent,
    (
        marks.seen - coalesce(gap_sums.open_messages, 0) - coalesce(gap_sums.dropped_messages, 0)
    )::bigint as stored,
    coalesce(reasons.dropped, '{}') as dropped,
    (marks.sent - marks.seen + coalesce(gap_sums.open_messages, 0))::bigint as missing,
    marks.stored_rows,
    marks.repeated
from marks
join hosts using (host_id)
join facilities using (facility_id)
left join gap_sums using (host_id, stream)
left join reasons using (host_id, stream)
order by 1, 2, 3, 4;

-- name: open_gaps
-- Numbers that nobody has explained and that may still come; the oldest first.
select
    facilities.tenant,
    facilities.facility,
    hosts.host,
    sequence_gaps.stream,
    sequence_gaps.boot_epoch,
    sequence_gaps.first_seq,
    sequence_gaps.last_seq,
    sequence_gaps.noticed_at
from sequence_gaps
join hosts using (host_id)
join facilities using (facility_id)
where sequence_gaps.reason is null
order by sequence_gaps.noticed_at
limit 1000;

-- name: topics
-- How far the collectors are in each log that is in use. Live messages come first; what was left
-- behind for them is stored beside them.
select
    topic,
    count(*) as partitions,
    sum(next_offset)::bigint as next_offset,
    sum(greatest(end_offset, next_offset))::bigint as end_offset,
    sum(greatest(end_offset - next_offset, 0))::bigint as lag,
    coalesce(sum((
        select sum(upper(span) - lower(span))
        from unnest(backlog) as span
    )), 0)::bigint as left_behind,
    max(updated_at) as updated_at
from stream_offsets
where retired_at is null
group by topic
order by topic;

-- name: quarantine
-- How many messages are in quarantine, by reason.
select
    reason,
    count(*) as messages
from quarantine
group by reason
order by reason;

-- name: lost_ranges
-- Messages that the broker had deleted before they were read.
select
    topic,
    partition,
    first_offset,
    last_offset,
    reason,
    noticed_at
from lost_ranges
order by noticed_at;

-- name: collectors
-- The collectors, as they last reported.
select
    instance,
    version,
    started_at,
    reported_at,
    reported_at > now() - interval '10 seconds' as alive,
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
    fetch_stalls
from collectors
order by instance;
