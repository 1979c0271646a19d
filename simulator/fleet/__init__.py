"""A facility of thousands of simulated hosts in one process, on packed arrays.

Owns a vectorised twin of `simulator.nvml`'s boards (`boards`, `readings`), a scheduler whose jobs
load them and whose backlog waits (`jobs`, `demand`), faults as data (`scenario`), and the messages
that all of it makes (`ring`, `facility`). Everything is a function of the seed and of the times
that are passed in. What reads real counters through the real agent is `simulator.real_hosts`.
"""
