-- How often a collector's Kafka client has stood still, so that it is seen where the client heals by
-- being replaced. Locks collectors for a moment; nothing is rewritten.

alter table collectors
add column fetch_stalls bigint not null default 0;
comment on column collectors.fetch_stalls is 'how often the Kafka client did not fetch what the log had, and was replaced';
