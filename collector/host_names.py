"""What hosts are called: tenant, facility and host.

Owns the name as the books have it, and how many a collector keeps. Each book has the names of all
hosts, which stand in few places.
"""

from functools import lru_cache

from telemetry.wire import Header

# Beyond so many a collector's books start afresh, which is slow. Two sites of the largest size that
# is leased, 440,000 accelerators on hosts of eight, fit twice; what all books keep of as many hosts
# is some 350 MiB.
HOSTS_MAX = 120_000

# Tenant, facility and host.
HostName = tuple[str, str, str]


def host_name(header: Header) -> HostName:
    """Return whose message it is; tenants and facilities are the same objects each time."""
    return (*_place(header.tenant, header.facility), header.host)


@lru_cache(maxsize=1024)
def _place(tenant: str, facility: str) -> tuple[str, str]:
    return tenant, facility
