-- What exactly-once bookkeeping needs beyond the first books: a version a mark, so that two
-- collectors that know the same host notice each other; topic ids in quarantine, so that a replay
-- quarantines nothing twice; and ranges of a log that were gone before they were read.
-- Locks the altered tables for a moment; nothing is rewritten.

alter table host_marks add column version bigint not null default 0;
comment on column host_marks.version is 'rises with each change by a collector; a change is refused when it is not the expected one';

alter table quarantine add column topic_id text not null default '';
create unique index quarantine_record on quarantine (topic_id, partition, "offset");

alter table stream_offsets add column retired_at timestamptz;
comment on column stream_offsets.retired_at is 'since when another topic of the same name has taken its place';

create table lost_ranges (
    topic_id text not null,
    partition integer not null,
    topic text not null,
    first_offset bigint not null,
    last_offset bigint not null,
    reason text not null,
    noticed_at timestamptz not null default now(),
    primary key (topic_id, partition, first_offset),
    check (first_offset <= last_offset)
);
comment on table lost_ranges is 'offsets that the broker had deleted before they were read';

-- Marks and offsets change with every batch; room in their pages keeps the changes off the index.
alter table host_marks set (fillfactor = 60);
alter table stream_offsets set (fillfactor = 20);
