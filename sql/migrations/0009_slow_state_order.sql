-- Which of two slow readings of a host is newer: they have numbers of their own, and clocks step.
-- Locks host_state for a moment; nothing is rewritten.

alter table host_state add column slow_boot_epoch bigint not null default 0;
alter table host_state add column slow_seq bigint not null default 0;
comment on column host_state.seq is 'with boot_epoch: which fast message this is; both 0 until the first';
comment on column host_state.slow_seq is 'with slow_boot_epoch: which slow message this is; both 0 until the first';
