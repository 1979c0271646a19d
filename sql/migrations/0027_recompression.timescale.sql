-- Making chunks anew, and retention, are done by the collector's upkeep on this tier too. A scheduler of
-- TimescaleDB may have no workers left, and fails with every job where the server's minor version is
-- newer than it knows, which nobody would see before the disk is full; and a job cannot give way to
-- late rows that wait for its chunk. Locks nothing but the jobs, which it ends.

select delete_job(job_id)
from timescaledb_information.jobs
where proc_name = 'recompress_samples'
    or (
        proc_name = 'policy_retention'
        and hypertable_schema = current_schema()
        and hypertable_name in ('samples', 'slow_samples', 'gpu_rollup_1m', 'gpu_rollup_1h')
    );
drop procedure recompress_samples;
