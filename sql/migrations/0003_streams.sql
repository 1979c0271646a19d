-- What the collector knows about the streams: offsets, marks, gaps, quarantine.
-- All of it changes in the transaction that stores the rows. Locks nothing: all tables are new.

create table stream_offsets (
    topic_id text not null,
    partition integer not null,
    topic text not null,
    next_offset bigint not null,
    owner_epoch bigint not null,
    end_offset bigint,
    updated_at timestamptz not null default now(),
    primary key (topic_id, partition)
);
comment on table stream_offsets is 'per topic id, so that a topic deleted and made again is a new log; owner_epoch fences a collector that lost its partition';

create table host_marks (
    host_id integer not null references hosts,
    stream text not null,
    boot_epoch bigint not null,
    last_seq bigint not null,
    stored_messages bigint not null default 0,
    stored_rows bigint not null default 0,
    repeated_messages bigint not null default 0,
    last_sent_seq bigint,
    updated_at timestamptz not null default now(),
    primary key (host_id, stream, boot_epoch)
);
comment on table host_marks is 'every seq up to last_seq is stored, but those in sequence_gaps; last_sent_seq is what the agent says it has given out';

create table sequence_gaps (
    host_id integer not null references hosts,
    stream text not null,
    boot_epoch bigint not null,
    first_seq bigint not null,
    last_seq bigint not null,
    reason text,
    noticed_at timestamptz not null default now(),
    primary key (host_id, stream, boot_epoch, first_seq),
    check (first_seq <= last_seq)
);
comment on table sequence_gaps is 'seqs not stored; reason is null while nobody has said why, and then they may still come';

create table quarantine (
    quarantine_id bigint generated always as identity primary key,
    quarantined_at timestamptz not null default now(),
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    reason text not null,
    detail text not null,
    key bytea,
    payload bytea not null,
    payload_bytes bigint not null
);
comment on table quarantine is 'messages that were not stored, with the reason and their first 4 KB';
create index quarantine_time on quarantine (quarantined_at);

create table attempts (
    topic_id text not null,
    partition integer not null,
    "offset" bigint not null,
    starts integer not null,
    primary key (topic_id, partition)
);
comment on table attempts is 'written before decoding: a record that kills the process is skipped after three starts';

create table collectors (
    instance text primary key,
    started_at timestamptz not null,
    reported_at timestamptz not null,
    version text not null,
    rows_stored bigint not null,
    messages_stored bigint not null,
    messages_repeated bigint not null,
    messages_quarantined bigint not null,
    values_out_of_range bigint not null,
    rows_per_second real not null,
    commit_seconds real not null,
    lag jsonb not null default '{}',
    waiting_for text
);
comment on table collectors is 'each collector about itself; lag is messages behind, by topic';
