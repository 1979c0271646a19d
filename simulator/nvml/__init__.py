"""A simulated NVIDIA driver, answering at the function table that nvidia-ml-py loads.

Owns everything below that boundary: boards (`profile`), physics, faults, the NVML calls and the
library object (`library`) that `install` puts in the place of libnvidia-ml. What reads it is the
real agent, unmodified. It needs nothing outside the `agent` extra.
"""
