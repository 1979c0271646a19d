-- name: make_ledger
-- The ledger of migrations itself.
create table if not exists schema_migrations (
    number integer primary key,
    title text not null,
    tier text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);

-- name: ledger
-- What was applied, in order.
select number, title, tier, checksum
from schema_migrations
order by number;

-- name: enter
-- One applied migration.
insert into schema_migrations (number, title, tier, checksum)
values (%(number)s, %(title)s, %(tier)s, %(checksum)s);

-- name: ledger_exists
-- Whether this database was ever migrated.
select to_regclass('schema_migrations') is not null;

-- name: try_lock
-- One migrator at a time; the lock goes with the connection.
select pg_try_advisory_lock(hashtext('fleetgauge migrate'));

-- name: unlock
-- Let the next migrator in.
select pg_advisory_unlock(hashtext('fleetgauge migrate'));

-- name: renew_views
-- The dashboard sees some tables through views, which must have their newest columns.
do $$
begin
    if to_regprocedure('renew_visible_views()') is not null then
        perform renew_visible_views();
    end if;
end
$$;
