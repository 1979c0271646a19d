"""What peers are fed with, and where their programs are looked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.noisy_hosts import METRICS, NoisyHosts
from benchmarks.peers import Absent
from benchmarks.peers.programs import PeerProgram
from benchmarks.peers.remote_write import RemoteWriteHosts

Series = tuple[dict[str, str], list[tuple[int, float]]]


def number(text: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        found |= (text[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if text[at - 1] < 0x80:
            return found, at


def unsnapped(text: bytes) -> bytes:
    size, at = number(text, 0)
    found = b""
    while at < len(text):
        assert text[at] == 0xFC  # a literal with four bytes of length
        length = int.from_bytes(text[at + 1 : at + 5], "little") + 1
        found += text[at + 5 : at + 5 + length]
        at += 5 + length
    assert len(found) == size
    return found


def fields(text: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(text):
        key, at = number(text, at)
        if key & 7 == 0:
            value, at = number(text, at)
            yield key >> 3, value
        elif key & 7 == 1:
            yield key >> 3, text[at : at + 8]
            at += 8
        else:
            size, at = number(text, at)
            yield key >> 3, text[at : at + size]
            at += size


def series_of(text: bytes) -> Iterator[Series]:
    for _, one in fields(unsnapped(text)):
        assert isinstance(one, bytes)
        labels, samples = {}, []
        for kind, part in fields(one):
            assert isinstance(part, bytes)
            values: dict[int, Any] = dict(fields(part))
            if kind == 1:
                labels[values[1].decode()] = values[2].decode()
            else:
                (value,) = np.frombuffer(values[1], dtype="<f8")
                samples.append((values[2], float(value)))
        yield labels, samples


def test_a_request_holds_every_value_of_its_messages_under_its_host() -> None:
    hosts = NoisyHosts(3, 2, 4)
    source = RemoteWriteHosts(hosts, 1_800_000_000_000, 1000)
    sent = [*series_of(source.request(2)), *series_of(source.request(2))]
    assert len(sent) == 4 * 2 * len(METRICS)
    assert source.messages == 4
    for place, (labels, samples) in enumerate(sent):
        message, within = divmod(place, 2 * len(METRICS))
        metric, gpu = divmod(within, 2)
        turn, host = divmod(message, 3)
        assert labels == {
            "__name__": METRICS[metric].name,
            "facility": f"site-{host % 2 + 1}",
            "gpu": str(gpu),
            "host": f"node-00000{host}",
        }
        assert list(labels) == sorted(labels)
        start_ms = 1_800_000_000_000 + turn * 4000
        values = hosts.values(message)[metric][:, gpu].tolist()
        assert samples == [(start_ms + 1000 * n, value) for n, value in enumerate(values)]


def test_a_program_is_found_by_its_variable_and_missed_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = PeerProgram(("no-such-peer",), "FLEETGAUGE_NO_SUCH_PEER", "kept", "no-such-package")
    with pytest.raises(Absent, match=r"set FLEETGAUGE_NO_SUCH_PEER .* install no-such-package"):
        program.find()
    kept = tmp_path / "fleetgauge/kept/usr/bin/no-such-peer"
    kept.parent.mkdir(parents=True)
    kept.touch(mode=0o755)
    assert program.find() == str(kept)
    named = tmp_path / "named"
    monkeypatch.setenv("FLEETGAUGE_NO_SUCH_PEER", str(named))
    with pytest.raises(Absent, match="no file"):
        program.find()
    named.touch()
    assert program.find() == str(named)
