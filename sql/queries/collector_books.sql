-- name: claim
-- Take a partition over: raise its epoch, which fences its last owner, and say where to go on.
insert into stream_offsets (topic_id, partition, topic, next_offset, owner_epoch, end_offset)
values (%(topic_id)s, %(partition)s, %(topic)s, %(start)s, 1, %(end)s)
on conflict (topic_id, partition) do update
set
    owner_epoch = stream_offsets.owner_epoch + 1,
    end_offset = excluded.end_offset,
    retired_at = null,
    updated_at = now()
returning next_offset, owner_epoch, backlog;

-- name: move_start
-- Where a log does not hold what is to be read, or much of it waits: where the lanes go on, under
-- the claim.
update stream_offsets
set
    next_offset = %(start)s,
    backlog = %(backlog)s::int8multirange,
    updated_at = now()
where topic_id = %(topic_id)s
    and partition = %(partition)s
    and owner_epoch = %(owner_epoch)s;

-- name: retire
-- Another topic of this name has taken the place of older ones; returns their ids.
update stream_offsets
set retired_at = now()
where topic = %(topic)s
    and topic_id <> %(topic_id)s
    and partition = %(partition)s
    and retired_at is null
returning topic_id;

-- name: lose_range
-- Offsets that were gone before they could be read.
insert into lost_ranges (topic_id, partition, topic, first_offset, last_offset, reason)
values (%(topic_id)s, %(partition)s, %(topic)s, %(first)s, %(last)s, %(reason)s)
on conflict (topic_id, partition, first_offset) do nothing;

-- name: move_offsets
-- The fence: moves only lanes that are where this owner believes, under its own epoch.
update stream_offsets as kept
set
    next_offset = moved.next_offset,
    backlog = moved.backlog::int8multirange,
    end_offset = greatest(moved.end_offset, moved.next_offset),
    updated_at = now()
from unnest(
    %(topic_ids)s::text[],
    %(partitions)s::integer[],
    %(owner_epochs)s::bigint[],
    %(expected)s::bigint[],
    %(next)s::bigint[],
    %(expected_backlogs)s::text[],
    %(backlogs)s::text[],
    %(ends)s::bigint[]
) as moved (
    topic_id,
    partition,
    owner_epoch,
    expected,
    next_offset,
    expected_backlog,
    backlog,
    end_offset
)
where kept.topic_id = moved.topic_id
    and kept.partition = moved.partition
    and kept.next_offset = moved.expected
    and kept.backlog = moved.expected_backlog::int8multirange
    and kept.owner_epoch <= moved.owner_epoch;

-- name: read_marks
-- What is stored about the messages of some hosts' boot epochs.
select host_marks.host_id, stream, host_marks.boot_epoch, last_seq, version
from unnest(%(host_ids)s::integer[], %(boot_epochs)s::bigint[]) as wanted (host_id, boot_epoch)
join host_marks on host_marks.host_id = wanted.host_id
    and host_marks.boot_epoch = wanted.boot_epoch;

-- name: read_gaps
-- The gaps that belong to these marks, in order.
select
    sequence_gaps.host_id,
    stream,
    sequence_gaps.boot_epoch,
    first_seq,
    last_seq,
    reason
from unnest(%(host_ids)s::integer[], %(boot_epochs)s::bigint[]) as wanted (host_id, boot_epoch)
join sequence_gaps on sequence_gaps.host_id = wanted.host_id
    and sequence_gaps.boot_epoch = wanted.boot_epoch
order by 1, 2, 3, 4;

-- name: make_marks_in
-- Where the changed marks of a batch wait to be merged. The stream is its place among the three.
create temp table if not exists marks_in (
    host_id integer,
    stream_number smallint,
    boot_epoch bigint,
    version bigint,
    last_seq bigint,
    messages bigint,
    rows bigint,
    repeats bigint
) on commit delete rows;

-- name: copy_marks
-- The changed marks of a batch.
copy marks_in (
    host_id,
    stream_number,
    boot_epoch,
    version,
    last_seq,
    messages,
    rows,
    repeats
)
from stdin (format binary);

-- name: move_marks
-- Marks that were stored before; only those whose version is the expected one. Each is looked up by its
-- key: otherwise the plan is to read and hash the marks of the whole fleet, once a batch.
update host_marks as kept
set
    last_seq = moved.last_seq,
    stored_messages = kept.stored_messages + moved.messages,
    stored_rows = kept.stored_rows + moved.rows,
    repeated_messages = kept.repeated_messages + moved.repeats,
    version = kept.version + 1,
    updated_at = now()
from marks_in as moved
cross join lateral (
    select m.ctid as place
    from host_marks m
    where m.host_id = moved.host_id
        and m.stream = (%(streams)s::text[])[moved.stream_number]
        and m.boot_epoch = moved.boot_epoch
    offset 0
) as found
where moved.version is not null
    and kept.ctid = found.place
    and kept.version = moved.version;

-- name: new_marks
-- Marks of a host, stream or boot epoch that is new here; another collector may have been faster.
insert into host_marks (
    host_id,
    stream,
    boot_epoch,
    last_seq,
    stored_messages,
    stored_rows,
    repeated_messages
)
select
    host_id,
    (%(streams)s::text[])[stream_number],
    boot_epoch,
    last_seq,
    messages,
    rows,
    repeats
from marks_in
where version is null
order by 1, 2, 3
on conflict (host_id, stream, boot_epoch) do nothing;

-- name: note_sent
-- What the agents say they have given out. It is no part of a mark's version.
insert into host_marks (host_id, stream, boot_epoch, last_seq, last_sent_seq)
select host_id, stream, boot_epoch, 0, last_sent_seq
from unnest(
    %(host_ids)s::integer[],
    %(streams)s::text[],
    %(boot_epochs)s::bigint[],
    %(sent)s::bigint[]
) as said (host_id, stream, boot_epoch, last_sent_seq)
order by 1, 2, 3
on conflict (host_id, stream, boot_epoch) do update
set last_sent_seq = greatest(host_marks.last_sent_seq, excluded.last_sent_seq);

-- name: clear_gaps
-- The gaps of marks whose gaps have changed; they are written again whole.
delete from sequence_gaps as kept
using unnest(
    %(host_ids)s::integer[],
    %(streams)s::text[],
    %(boot_epochs)s::bigint[]
) as changed (host_id, stream, boot_epoch)
where kept.host_id = changed.host_id
    and kept.stream = changed.stream
    and kept.boot_epoch = changed.boot_epoch;

-- name: write_gaps
-- Numbers that are not stored, with the reason where one is known.
insert into sequence_gaps (host_id, stream, boot_epoch, first_seq, last_seq, reason)
select *
from unnest(
    %(host_ids)s::integer[],
    %(streams)s::text[],
    %(boot_epochs)s::bigint[],
    %(firsts)s::bigint[],
    %(lasts)s::bigint[],
    %(reasons)s::text[]
);

-- name: quarantine
-- A message that is not stored as rows; a replay finds it here already.
insert into quarantine (
    topic_id,
    topic,
    partition,
    "offset",
    reason,
    detail,
    key,
    payload,
    payload_bytes
)
values (
    %(topic_id)s,
    %(topic)s,
    %(partition)s,
    %(offset)s,
    %(reason)s,
    %(detail)s,
    %(key)s,
    %(payload)s,
    %(payload_bytes)s
)
on conflict (topic_id, partition, "offset") do nothing;

-- name: attempt
-- A start at an offset; returns how many processes have started there. Written before anything is
-- decoded.
insert into lane_starts (topic_id, partition, lane, "offset", runs)
values (%(topic_id)s, %(partition)s, %(lane)s, %(offset)s, array[%(run_id)s])
on conflict (topic_id, partition, lane) do update
set
    runs = case
        when lane_starts."offset" <> excluded."offset" then excluded.runs
        when lane_starts.runs @> excluded.runs then lane_starts.runs
        else lane_starts.runs || excluded.runs
    end,
    "offset" = excluded."offset"
returning cardinality(runs);

-- name: take_back
-- A process that is still there was not ended by the record at which it started.
update lane_starts
set runs = array_remove(runs, %(run_id)s)
where topic_id = %(topic_id)s
    and partition = %(partition)s
    and lane = %(lane)s;

-- name: succeed
-- A lane whose first records were stored after all.
delete from lane_starts
where topic_id = %(topic_id)s
    and partition = %(partition)s
    and lane = %(lane)s;

-- name: report
-- A collector about itself.
insert into collectors (
    instance,
    started_at,
    reported_at,
    version,
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
)
values (
    %(instance)s,
    %(started_at)s,
    now(),
    %(version)s,
    %(rows_stored)s,
    %(messages_stored)s,
    %(messages_repeated)s,
    %(messages_quarantined)s,
    %(values_out_of_range)s,
    %(rows_per_second)s,
    %(commit_seconds)s,
    %(lag)s,
    %(backlog)s,
    %(backlog_per_second)s,
    %(waiting_for)s,
    %(signatures)s,
    %(fetch_stalls)s
)
on conflict (instance) do update
set
    started_at = excluded.started_at,
    reported_at = excluded.reported_at,
    version = excluded.version,
    rows_stored = excluded.rows_stored,
    messages_stored = excluded.messages_stored,
    messages_repeated = excluded.messages_repeated,
    messages_quarantined = excluded.messages_quarantined,
    values_out_of_range = excluded.values_out_of_range,
    rows_per_second = excluded.rows_per_second,
    commit_seconds = excluded.commit_seconds,
    lag = excluded.lag,
    backlog = excluded.backlog,
    backlog_per_second = excluded.backlog_per_second,
    waiting_for = excluded.waiting_for,
    signatures = excluded.signatures,
    fetch_stalls = excluded.fetch_stalls;

-- name: leave
-- A collector that stops in order takes its row along.
delete from collectors
where instance = %(instance)s;
