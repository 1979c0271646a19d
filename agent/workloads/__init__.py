"""Whose work runs on which accelerator: from the driver's process numbers to jobs, pods and units.

Owns the reading of /proc for the few processes that hold an accelerator, the grammar of cgroup
paths (`cgroup.py`, pure) and when a change is told (`watch.py`). It reads no command line, no
environment and no user database, and needs no privilege.
"""
