"""The agent: runs on each GPU host, reads its accelerators and queues, and sends what it reads.

Owns everything up to the broker's confirmation: readers, sampler, spool, Kafka sink. It writes
nothing but its own spool, listens on nothing, and knows no other program; what it sends is
defined by `telemetry`.

The way of a reading::

    accelerators ─┐
    driver ───────┴▶ sampler, events, heartbeat ─▶ inbox ─▶ outbox (spool on disk) ─▶ sink
    queues ────────────────────────────────────────┘
"""
