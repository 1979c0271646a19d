-- Range partitions by time, for the plain PostgreSQL tier; the other tiers have hypertables and do
-- not call these. A partition is made beside its table and then attached, because that takes a lock
-- under which rows are still read and stored; `create table … partition of` would stop both.
-- Locks nothing.

create function make_partition(parent text, starts_at timestamptz, ends_at timestamptz)
returns boolean
language plpgsql
as $$
declare
    name text := format('%s_%s', parent, to_char(starts_at at time zone 'UTC', 'YYYYMMDD_HH24'));
begin
    perform pg_advisory_xact_lock(hashtext('fleetgauge partitions'));
    if to_regclass(name) is not null then
        return false;
    end if;
    execute format('create table %I (like %I including defaults)', name, parent);
    execute format(
        'alter table %I attach partition %I for values from (%L) to (%L)',
        parent, name, starts_at, ends_at
    );
    return true;
end
$$;
comment on function make_partition is 'true where it was not there yet';

create function drop_partitions(parent text, ends_before timestamptz)
returns integer
language plpgsql
as $$
declare
    name text;
    dropped integer := 0;
begin
    for name in
        select child.relname
        from pg_inherits
        join pg_class child on child.oid = pg_inherits.inhrelid
        where pg_inherits.inhparent = to_regclass(parent)
            and (regexp_match(
                pg_get_expr(child.relpartbound, child.oid), $r$TO \('([^']+)'\)$r$
            ))[1]::timestamptz <= ends_before
    loop
        execute format('drop table %I', name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;
