-- No queue figure is NaN or infinite: one of them would make every mean NaN. The decoder refuses
-- them already; this is the second line. NaN is above Infinity here. Locks the tables for a scan.

alter table queue_samples add constraint finite check (
    (waiting is null or abs(waiting) < 'Infinity')
    and (running is null or abs(running) < 'Infinity')
    and (gpus_waiting is null or abs(gpus_waiting) < 'Infinity')
    and (gpus_running is null or abs(gpus_running) < 'Infinity')
    and (gpu_seconds_waiting is null or abs(gpu_seconds_waiting) < 'Infinity')
    and (oldest_wait_seconds is null or abs(oldest_wait_seconds) < 'Infinity')
    and (wait_milliseconds is null or abs(wait_milliseconds) < 'Infinity')
    and (arrivals_per_second is null or abs(arrivals_per_second) < 'Infinity')
    and (completions_per_second is null or abs(completions_per_second) < 'Infinity')
);
