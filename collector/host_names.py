"""What hosts are called: tenant, facility and host.

Owns the name as the books have it. Each book has the names of all hosts, which stand in few places.
"""

from functools import lru_cache

from telemetry.wire import Header

# Tenant, facility and host.
HostName = tuple[str, str, str]


def host_name(header: Header) -> HostName:
    """Return whose message it is; tenants and facilities are the same objects each time."""
    return (*_place(header.tenant, header.facility), header.host)


@lru_cache(maxsize=1024)
def _place(tenant: str, facility: str) -> tuple[str, str]:
    return tenant, facility
