-- Two lanes a partition: after an outage a collector goes on at the log's end and reads what it has
-- left behind beside it. Both positions are in the row that the fence guards; the ledger of starts
-- has an entry a lane. Locks the altered tables for a moment; nothing is rewritten. A collector of
-- the version before still stores; `attempts` stays for it.

alter table stream_offsets add column backlog int8multirange not null default '{}';
comment on column stream_offsets.backlog is 'offsets below next_offset that were left behind and are not stored yet';

create table lane_starts (
    topic_id text not null,
    partition integer not null,
    lane text not null check (lane in ('live', 'backlog')),
    "offset" bigint not null,
    runs text[] not null,
    primary key (topic_id, partition, lane)
);
comment on table lane_starts is 'written before decoding: processes that began at an offset and have not said that they went on; a record at which three have ended is skipped';
comment on table attempts is 'replaced by lane_starts';

alter table collectors
add column backlog jsonb not null default '{}',
add column backlog_per_second real not null default 0;
comment on column collectors.backlog is 'messages left behind and not stored yet, by topic';
comment on column collectors.backlog_per_second is 'messages of the backlog that are stored a second';
