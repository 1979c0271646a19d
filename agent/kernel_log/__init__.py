"""The kernel log as a second witness of what happens to the boards.

Owns reading `/dev/kmsg` and the lines that NVIDIA's driver writes there. It carries what NVML
does not (sub-codes, registers, the process), and goes on when NVML does not answer. Joining it
with what NVML says is `agent/xid_join.py`'s business.

`record` splits the device's format, `faults` reads the driver's lines, `device` is the file, and
`witness` makes events of them.
"""
