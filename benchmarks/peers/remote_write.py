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
HOST_DIGITS = 6
LABELS, SAMPLES, SERIES = b"\x0a", b"\x12", b"\x0a"
SAMPLE_BYTES = 1 + 8 + 1 + TIME_BYTES
LITERAL_4_BYTES = 0xFC  # a snappy literal whose length follows in four bytes


class RemoteWriteHosts:
    """Hosts that send the values of `NoisyHosts`, one message each in turn, at their own times."""

    def __init__(self, hosts: NoisyHosts, start_ms: int, interval_ms: int) -> None:
        self._hosts = hosts
        self._start_ms = start_ms
        self._interval_ms = interval_ms
        shape = hosts.shape
        names = [metric.name for metric in METRICS]
        self._layout = _Layout(names, shape.accelerators, shape.ticks)
        pool = range(len(hosts.bodies))
        self._messages = [self._layout.filled(hosts.values(at)) for at in pool]
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
        senders = self._hosts.senders
        turn, number = divmod(self._next, len(senders))
        message = self._messages[self._next % (len(self._messages) - 1)]
        self._next += 1
        ticks = self._hosts.shape.ticks
        first_ms = self._start_ms + turn * ticks * self._interval_ms
        times = [varint(first_ms + tick * self._interval_ms) for tick in range(ticks)]
        sender = senders[number]
        name = sender.facility[-1:] + sender.name[-HOST_DIGITS:]
        return self._layout.send(message, name, times)


class _Layout:
    """The protobuf of a message, and where its host's name, its times and its values stand."""

    def __init__(self, metrics: Sequence[str], accelerators: int, ticks: int) -> None:
        parts: list[bytes] = []
        names, samples, size = [], [], 0
        empty = SAMPLES + varint(SAMPLE_BYTES) + b"\x09" + bytes(8) + b"\x10" + bytes(TIME_BYTES)
        for metric in metrics:
            for gpu in range(accelerators):
                labels = _labels(metric, gpu)
                head = SERIES + varint(len(labels) + ticks * len(empty))
                start = size + len(head)
                node = start + labels.index(b"node-") + len("node-")
                site = start + labels.index(b"site-") + len("site-")
                names.append([site, *range(node, node + HOST_DIGITS)])
                samples.append(start + len(labels))
                parts += [head, labels, empty * ticks]
                size = start + len(labels) + ticks * len(empty)
        self._text = np.frombuffer(b"".join(parts), dtype=np.uint8)
        self._names = np.array(names)
        first = np.array(samples)[:, None, None] + len(empty) * np.arange(ticks)[None, :, None]
        self._values = first + 3 + np.arange(8)
        self._times = first + 12 + np.arange(TIME_BYTES)

    def filled(self, values: Sequence[NDArray[np.int64]]) -> Bytes:
        """Return it with values, per metric an array of ticks x accelerators."""
        by_series = np.ascontiguousarray(np.stack(values).transpose(0, 2, 1), dtype="<f8")
        found: Bytes = self._text.copy()
        found[self._values] = by_series.view(np.uint8).reshape(self._values.shape)
        return found

    def send(self, message: Bytes, name: str, times: Sequence[bytes]) -> bytes:
        """Return it with a digit of the facility and six of the host, and a time a tick."""
        message[self._names] = np.frombuffer(name.encode(), dtype=np.uint8)
        message[self._times] = np.frombuffer(b"".join(times), np.uint8).reshape(-1, TIME_BYTES)
        return message.tobytes()


def _labels(metric: str, gpu: int) -> bytes:
    # In the order of their names, as the protocol wants them.
    place = {"facility": "site-0", "gpu": str(gpu), "host": "node-000000"}
    found = b""
    for name, value in ({"__name__": metric} | place).items():
        pair = LABELS + varint(len(name)) + name.encode() + b"\x12" + varint(len(value))
        pair += value.encode()
        found += LABELS + varint(len(pair)) + pair
    return found


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
