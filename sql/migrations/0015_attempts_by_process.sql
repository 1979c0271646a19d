-- Who began at a record: only processes that ended there count, not one that tries again.
-- Locks `attempts` for a moment; nothing is rewritten.

alter table attempts add column begun_by text not null default '';
comment on table attempts is 'written before decoding: a record at which three processes have ended is skipped';
