"""Network and InfiniBand ports out of /proc and /sys.

Owns the formats. Only interfaces with hardware behind them count; bridges and tunnels carry the
same bytes again. Ports are summed, because a host has up to a dozen and a heartbeat is small; which
one is down stands in the text beside it.
"""

from dataclasses import dataclass
from pathlib import Path

PORTS_MAX = 128
# https://docs.kernel.org/infiniband/sysfs.html: data counters count words of four bytes.
WORD_BYTES = 4
STATE_ACTIVE = 4
RATE_UNIT = "Gb/sec"

# Columns of /proc/net/dev after the name, as far as they are kept.
COLUMNS = {
    "network_receive_bytes": 0,
    "network_receive_errors_count": 2,
    "network_receive_drops_count": 3,
    "network_transmit_bytes": 8,
    "network_transmit_errors_count": 10,
    "network_transmit_drops_count": 11,
}
COUNTERS = {
    "infiniband_receive_bytes": ("port_rcv_data", WORD_BYTES),
    "infiniband_transmit_bytes": ("port_xmit_data", WORD_BYTES),
    "infiniband_symbol_errors_count": ("symbol_error", 1),
    "infiniband_link_downed_count": ("link_downed", 1),
    "infiniband_link_recoveries_count": ("link_error_recovery", 1),
    "infiniband_receive_errors_count": ("port_rcv_errors", 1),
    "infiniband_transmit_discards_count": ("port_xmit_discards", 1),
}


@dataclass(frozen=True, slots=True)
class Port:
    """One port of an InfiniBand or RoCE adapter.

    Attributes:
        name: `mlx5_0/1`.
        link_layer: `InfiniBand` or `Ethernet` (RoCE).
        rate_gigabits_per_second: None where the port does not say.
        counters: as far as the adapter has them.
    """

    name: str
    link_layer: str
    active: bool
    rate_gigabits_per_second: int | None
    counters: dict[str, int]


def parse_interfaces(text: str, physical: frozenset[str]) -> dict[str, int]:
    """Return the sums over physical interfaces from /proc/net/dev. Pure."""
    sums: dict[str, int] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        words = rest.split()
        if not colon or name.strip() not in physical or len(words) < 16:
            continue
        for key, column in COLUMNS.items():
            if words[column].isdecimal():
                sums[key] = sums.get(key, 0) + int(words[column])
    return sums


def read_interfaces(proc: Path, sys: Path) -> dict[str, int]:
    """Return traffic, errors and links of this host's physical interfaces."""
    folder = sys / "class" / "net"
    physical = [path for path in _children(folder) if (path / "device").exists()]
    names = frozenset(path.name for path in physical)
    found = parse_interfaces(_text(proc / "net" / "dev"), names)
    if physical:
        up = sum(_text(path / "operstate") == "up" for path in physical)
        found |= {"network_links_count": len(physical), "network_links_up_count": up}
    return found


def read_ports(sys: Path) -> list[Port]:
    """Return the InfiniBand and RoCE ports of this host, by name."""
    ports: list[Port] = []
    for adapter in _children(sys / "class" / "infiniband"):
        for folder in _children(adapter / "ports"):
            if len(ports) < PORTS_MAX:
                ports.append(_port(f"{adapter.name}/{folder.name}", folder))
    return ports


def sum_ports(ports: list[Port]) -> dict[str, int]:
    """Return how many ports there are and are up, and the sums of their counters. Pure."""
    if not ports:
        return {}
    sums = {
        "infiniband_ports_count": len(ports),
        "infiniband_ports_active_count": sum(port.active for port in ports),
    }
    for port in ports:
        for name, value in port.counters.items():
            sums[name] = sums.get(name, 0) + value
    return sums


def _port(name: str, folder: Path) -> Port:
    state = _text(folder / "state").partition(":")[0]
    rate = _text(folder / "rate").partition(" ")[0].partition(".")[0]
    counters: dict[str, int] = {}
    for counter, (file, factor) in COUNTERS.items():
        value = _text(folder / "counters" / file)
        if value.isdecimal():
            counters[counter] = int(value) * factor
    return Port(
        name=name,
        link_layer=_text(folder / "link_layer"),
        active=state == str(STATE_ACTIVE),
        rate_gigabits_per_second=int(rate) if rate.isdecimal() else None,
        counters=counters,
    )


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    """Return a small file's text; nothing where it is missing or the adapter refuses to answer."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
