"""What endpoints say about their queues becomes snapshots, and nonsense an error."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.counters import Counters
from agent.drafts import Draft, QueueDraft
from agent.queues import load_sources
from agent.queues.exposition import Sample, parse
from agent.queues.mapping import MAPPINGS_FOLDER, Totals, clean_name, load_mapping, snapshots
from agent.queues.poller import QueuePoller
from agent.queues.prometheus import ANSWER_BYTES_MAX, PrometheusSource
from telemetry.errors import ConfigError, ReadError
from telemetry.records import QueueSnapshot
from telemetry.wire import Header, decode, decode_queues, encode_queues
from tests.fix_agent import START_US, HandClock

LABEL_TEXT = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))


def read(mapping: str, *texts: str, apart_s: float = 10.0) -> list[QueueSnapshot]:
    """The snapshots of the last of several readings."""
    chosen, before, found = load_mapping(mapping), None, []
    for number, text in enumerate(texts):
        totals = Totals(chosen, parse(text, chosen.metrics()), number * apart_s)
        found = snapshots(chosen, totals, before, START_US)
        before = totals
    return found


def test_a_line_is_name_labels_and_value() -> None:
    text = (
        "# HELP x what it is\n# TYPE x gauge\n\n"
        'x{a="1",b="two \\"q\\" \\\\ \\n",} 1.5e3 1700000000000\r\n'
        'y 2 # {trace="1"} 0.5\n  z{} -0.25\nx{a="2"}7'
    )
    assert list(parse(text)) == [
        Sample("x", {"a": "1", "b": 'two "q" \\ \n'}, 1500.0),
        Sample("y", {}, 2.0),
        Sample("z", {}, -0.25),
        Sample("x", {"a": "2"}, 7.0),
    ]


def test_what_is_no_number_is_no_sample() -> None:
    assert list(parse("a NaN\nb +Inf\nc 1")) == [Sample("c", {}, 1.0)]


@pytest.mark.parametrize(
    "line",
    [
        "<html>", "1x 2", "x", "x y", "x 1_0", 'x{a="1} 2', 'x{a="1" b="2"} 3', "x{a=1} 2",
        'x{a="1",a="2"} 3', "x{", "x} 1", "x 1 2 3", 'x{a="1"} ',
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_an_error_that_names_it(line: str) -> None:
    with pytest.raises(ReadError, match="line 2"):
        list(parse(f"good 1\n{line}\ngood 2"))


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        for sample in parse(text):
            assert sample.name
    except ReadError:
        pass


@given(
    st.dictionaries(st.sampled_from(["a", "b_2", "model_name", "_x"]), LABEL_TEXT),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_whatever_a_server_writes_is_read_back(labels: dict[str, str], value: float) -> None:
    def escape(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    inside = ",".join(f'{name}="{escape(text)}"' for name, text in labels.items())
    assert list(parse(f"m{{{inside}}} {value!r}")) == [Sample("m", labels, value)]


@given(LABEL_TEXT)
def test_any_queue_name_becomes_one_that_travels(name: str) -> None:
    snapshot = QueueSnapshot(time_us=0, source="vllm", queue=clean_name(name))
    header = Header(tenant="t", facility="f", host="h", boot_epoch=1, seq=1)
    assert decode_queues(decode(encode_queues(header, [snapshot]))) == [snapshot]


VLLM = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="org/model"}} 12.0
vllm:num_requests_waiting{{engine="0",model_name="org/model"}} {waiting}
vllm:num_requests_waiting{{engine="1",model_name="org/model"}} 3.0
vllm:request_queue_time_seconds_sum{{engine="0",model_name="org/model"}} {sum}
vllm:request_queue_time_seconds_count{{engine="0",model_name="org/model"}} {count}
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="org/model"}} {count}
vllm:request_success_total{{engine="0",finished_reason="length",model_name="org/model"}} 5
"""


def test_vllm_engines_add_up_and_counters_become_rates() -> None:
    first = VLLM.format(waiting=7, sum=100, count=50)
    (once,) = read("vllm", first)
    assert (once.queue, once.waiting, once.running) == ("org/model", 10.0, 12.0)
    assert once.wait_milliseconds is None
    (twice,) = read("vllm", first, VLLM.format(waiting=0, sum=160, count=80))
    assert twice.wait_milliseconds == 2000.0
    assert twice.completions_per_second == 3.0
    assert twice.waiting == 3.0


def test_a_restarted_server_gives_no_negative_rate() -> None:
    texts = [VLLM.format(waiting=1, sum=s, count=c) for s, c in ((100, 50), (0, 0), (4, 2))]
    (after,) = read("vllm", *texts[:2])
    assert (after.wait_milliseconds, after.completions_per_second) == (None, None)
    (later,) = read("vllm", *texts)
    assert later.wait_milliseconds == 2000.0


def test_no_request_since_the_last_reading_is_no_wait_and_not_zero() -> None:
    text = VLLM.format(waiting=1, sum=100, count=50)
    (snapshot,) = read("vllm", text, text)
    assert (snapshot.wait_milliseconds, snapshot.completions_per_second) == (None, 0.0)


def test_the_ranks_of_one_sglang_replica_tell_of_one_queue() -> None:
    (snapshot,) = read(
        "sglang",
        "\n".join(
            f'sglang:num_queue_reqs{{model_name="m",dp_rank="{dp}",tp_rank="{tp}"}} {4 + dp}'
            for dp in range(2)
            for tp in range(8)
        ),
    )
    assert (snapshot.waiting, snapshot.running) == (9.0, None)


def test_triton_tells_microseconds_in_queue() -> None:
    text = (
        'nv_inference_pending_request_count{{model="resnet",version="1"}} 4\n'
        'nv_inference_request_success{{model="resnet",version="1"}} {n}\n'
        'nv_inference_queue_duration_us{{model="resnet",version="1"}} {us}\n'
    )
    (found,) = read("triton", text.format(n=10, us=1000), text.format(n=20, us=51_000))
    assert (found.waiting, found.wait_milliseconds, found.completions_per_second) == (4, 5.0, 1.0)


@pytest.mark.parametrize("path", sorted(MAPPINGS_FOLDER.glob("*.toml")), ids=lambda p: p.stem)
def test_every_mapping_is_sound(path: Path) -> None:
    mapping = load_mapping(path.stem)
    assert mapping.source == path.stem
    assert "waiting" in mapping.values


def test_a_mapping_of_ones_own_is_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'source = "own"\nqueue_label = "q"\nqueue = "all"\nunit = "jobs"\n'
        '[values]\nwaiting = { type = "gauge", metric = "depth" }\n'
    )
    (found,) = read(str(own), "depth 3\n")
    assert (found.source, found.queue, found.unit, found.waiting) == ("own", "all", "jobs", 3.0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("source = 1", "source"),
        ("queue = [", "own.toml"),
        ('source="o"\nqueue_label="q"\nqueue="a"\n[values]\nx={type="gauge",metric="m"}', "no x"),
        ('source="o"\nqueue_label="q"\nqueue="a"\n[values]\nwaiting={type="sum"}', "sum"),
    ],
)
def test_a_wrong_mapping_is_refused_with_file_and_reason(
    tmp_path: Path, content: str, problem: str
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(content)
    with pytest.raises(ConfigError, match=problem):
        load_mapping(str(own))


@pytest.mark.parametrize(
    "endpoint", ["nosuch=http://x/m", "vllm=ftp://x", "vllm=http://", "vllm=http://x:99999/m"]
)
def test_a_wrong_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="queue_endpoints"):
        load_sources(endpoint)


class _Handler(BaseHTTPRequestHandler):
    answer = (200, b"")

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_is_read_over_http(endpoint: str) -> None:
    _Handler.answer = (200, VLLM.format(waiting=7, sum=1, count=1).encode())
    (source,) = load_sources(f"vllm={endpoint}")
    (found,) = source.read(START_US, 0.0)
    assert found.waiting == 10.0


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"vllm:num_requests_waiting 1"), (302, b""), (200, b"\xff"), (200, b"<html>")],
)
def test_an_answer_that_is_none_is_a_failed_reading(
    endpoint: str, status: int, body: bytes
) -> None:
    _Handler.answer = (status, body)
    with pytest.raises(ReadError):
        PrometheusSource.from_setting("vllm", endpoint).read(START_US, 0.0)


def test_an_endless_answer_is_cut_off(endpoint: str) -> None:
    _Handler.answer = (200, b"#" * (ANSWER_BYTES_MAX + 1))
    with pytest.raises(ReadError, match="more than"):
        PrometheusSource.from_setting("vllm", endpoint).read(START_US, 0.0)


def test_a_source_that_is_away_hides_no_other_and_is_said_once(
    endpoint: str, hand_clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    _Handler.answer = (200, b"nv_inference_pending_request_count 1\n")
    put: list[Draft] = []
    counters = Counters()
    sources = load_sources(f"vllm=http://127.0.0.1:1/metrics,triton={endpoint}")
    poller = QueuePoller(sources, 10.0, hand_clock, counters, put.extend)
    for _ in range(3):
        poller.round()
    assert [len(d.snapshots) for d in put if isinstance(d, QueueDraft)] == [1, 1, 1]
    assert counters["queue_read_failures"] == 3
    assert len(caplog.records) == 1
