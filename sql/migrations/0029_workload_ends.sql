-- What ran on an accelerator in a span of time is looked up by when it ended: of all that ran before
-- the span nothing has to be read. Work that goes on ends at infinity there. Locks
-- workload_intervals against writing while the index is made; a table of a few columns an
-- accelerator and job.

create index workload_intervals_end on workload_intervals (gpu_id, coalesce(ended_at, 'infinity'::timestamptz));
