"""Everything that is not real: drivers, fleets, recorded days, and the demo made of them.

Owns what stands in for hardware and facilities. The programs do not know it; it meets them on the
wire, at NVML's function table and in their command lines. `services` starts real databases and
brokers for it.
"""
