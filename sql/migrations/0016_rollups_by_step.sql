-- The rest of the steps of facilities and racks, and how far racks lie apart. These are made of the
-- finer steps once a step is over: each batch says in its own transaction which steps it touched, so
-- that what came late has them made again. Locks nothing: all tables are new.

create table facility_rollup_1m (
    like facility_rollup_10s including defaults including constraints including indexes
);
create table facility_rollup_1h (
    like facility_rollup_10s including defaults including constraints including indexes
);
create table rack_rollup_1h (
    like rack_rollup_1m including defaults including constraints including indexes
);

create table facility_spread (
    step_s integer not null,
    bucket timestamptz not null,
    facility_id integer not null references facilities,
    racks integer not null,
    load_p10 double precision,
    load_p90 double precision,
    headroom_p10 double precision,
    headroom_p90 double precision,
    primary key (facility_id, step_s, bucket)
);
comment on table facility_spread is '10th and 90th percentile of the means of a facility''s racks, by steps of 60, 300 and 3600 s';

create table rollup_touched (
    step_s integer not null,
    bucket timestamptz not null,
    facility_id integer not null
);
comment on table rollup_touched is 'steps of 300 and 3600 s that rows were added to since they were last made; the same may stand many times';

create table rollup_progress (
    step_s integer primary key,
    closed_before timestamptz not null
);
comment on table rollup_progress is 'steps before this time have been made at least once; what is newer is read from the finer rollup';
