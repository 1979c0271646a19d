"""The noisy hosts' values in the peers' own protocol: Prometheus remote write 1.0.

Owns making request bodies without a Python object per value. A message of a host is one protobuf
of fixed size, so everything but its host's name and its times is made once for each body of the
pool; a request joins several. The snappy that the protocol asks for holds literals only, which is
the cheapest to read. https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.noisy_hosts import METRICS, NoisyHosts

Bytes = NDArray[np.uint8]

# A time in milliseconds is a varint of six bytes from 2004 to 2109.
TIME_BYTES = 6
LABELS, SAMPLES, SERIES = b"\x0a", b"\x12", b"\x0a"
SAMPLE_BYTES = 1 + 8 + 1 + TIME_BYTES
LITERAL_4_BYTES = 0xFC  # a snappy literal whose length follows in four bytes


class RemoteWriteHosts:
    """Hosts that send the values of `NoisyHosts`, one message each in turn, at their own times."""

    def __init__(self, hosts: NoisyHosts, start_ms: int, interval_ms: int) -> None:
        self._hosts = hosts
        self._start_ms = start_ms
        self._interval_ms = interval_ms
        self._templates = [_Template.of(hosts, at) for at in range(len(hosts.bodies))]
        self._next = 0
        self.values_per_message = hosts.rows_per_message * len(METRICS)

    @property
    def messages(self) -> int:
        """Messages made so far."""
        return self._next

    def request(self, messages: int) -> bytes:
        """Return the body of a request with the next messages."""
        return snappy([self._message() for _ in range(messages)])

    def _message(self) -> bytes:
        senders, bodies = self._hosts.senders, self._hosts.bodies
        turn, number = divmod(self._next, len(senders))
        template = self._templates[self._next % (len(bodies) - 1)]
        self._next += 1
        ticks = self._hosts.shape.ticks
        first_ms = self._start_ms + turn * ticks * self._interval_ms
        times = [varint(first_ms + tick * self._interval_ms) for tick in range(ticks)]
        sender = senders[number]
        return template.fill(sender.facility[-1:] + sender.name[-6:], b"".join(times))


class _Template:
    """One body as protobuf, and where its host's name and its times stand."""

    def __init__(self, text: bytes, names: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        self._bytes: Bytes = np.frombuffer(text, dtype=np.uint8).copy()
        self._names = names
        self._times = times

    @classmethod
    def of(cls, hosts: NoisyHosts, at: int) -> "_Template":
        """Return the body with that number; see `NoisyHosts.values`."""
        values = hosts.values(at)
        parts, names, times, size = [], [], [], 0
        for metric, of_metric in zip(METRICS, values, strict=True):
            for gpu in range(of_metric.shape[1]):
                labels = _labels(metric.name, gpu)
                samples = _samples(of_metric[:, gpu])
                head = SERIES + varint(len(labels) + len(samples))
                start = size + len(head)
                site = start + labels.index(b"site-") + len("site-")
                node = start + labels.index(b"node-") + len("node-")
                names.append([site, *range(node, node + 6)])
                first = start + len(labels) + 2 + SAMPLE_BYTES - TIME_BYTES
                count = len(of_metric)
                times += [
                    list(range(first + n * (2 + SAMPLE_BYTES), first + n * (2 + SAMPLE_BYTES) + 6))
                    for n in range(count)
                ]
                parts.append(head + labels + samples)
                size += len(parts[-1])
        ticks = hosts.shape.ticks
        return cls(
            b"".join(parts), np.array(names), np.array(times).reshape(-1, ticks * TIME_BYTES)
        )

    def fill(self, name: str, times: bytes) -> bytes:
        """Return the protobuf of a message: a digit of the facility and six of the host."""
        self._bytes[self._names] = np.frombuffer(name.encode(), dtype=np.uint8)
        self._bytes[self._times] = np.frombuffer(times, dtype=np.uint8)
        return self._bytes.tobytes()


def _labels(metric: str, gpu: int) -> bytes:
    # In the order of their names, as the protocol wants them.
    place = {"facility": "site-0", "gpu": str(gpu), "host": "node-000000"}
    found = b""
    for name, value in ({"__name__": metric} | place).items():
        pair = LABELS + varint(len(name)) + name.encode() + b"\x12" + varint(len(value))
        pair += value.encode()
        found += LABELS + varint(len(pair)) + pair
    return found


def _samples(values: NDArray[np.int64]) -> bytes:
    made = b""
    for value in values.astype("<f8"):
        made += SAMPLES + varint(SAMPLE_BYTES) + b"\x09" + value.tobytes()
        made += b"\x10" + bytes(TIME_BYTES)
    return made


def varint(number: int) -> bytes:
    """Return a number as protobuf and snappy write it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def snappy(parts: Sequence[bytes]) -> bytes:
    """Return parts as one snappy block of literals.

    https://github.com/google/snappy/blob/main/format_description.txt
    """
    found = [varint(sum(len(part) for part in parts))]
    for part in parts:
        found += [bytes([LITERAL_4_BYTES]), (len(part) - 1).to_bytes(4, "little"), part]
    return b"".join(found)
