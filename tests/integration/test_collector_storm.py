"""A group of collectors in which members come and go faster than it settles."""

import random
import threading
import time

import pytest

from telemetry.streams import Stream
from tests.fix_collector import FakeHost
from tests.fix_pipe import Pipe, now_us

CHANGES = 20
MEMBERS_MAX = 3
PAUSE_S_MAX = 1.0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("sockets_left_by_the_client"),
    # kafka-python 3.0.12 leaves sockets of failed connections to the collector of garbage.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_f26_twenty_joins_and_leaves_in_a_row_lose_and_repeat_nothing(
    pipe: Pipe, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["broker"] != "kafka":
        pytest.skip("the in-memory broker does not recover from a leave in the middle of a join")
    chance = random.Random(26)
    hosts = [FakeHost(f"node-{number}") for number in range(6)]
    sent = _Sending(pipe, hosts)
    members = [pipe.start()]
    with sent:
        for _ in range(CHANGES):
            if len(members) == 1 or (len(members) < MEMBERS_MAX and chance.random() < 0.5):
                members.append(pipe.start())
            else:
                members.pop(chance.randrange(len(members))).set()
            time.sleep(chance.uniform(0.0, PAUSE_S_MAX))
    assert sent.messages > CHANGES
    pipe.wait_for("select coalesce(sum(stored_messages), 0)::int from host_marks", sent.messages)
    assert pipe.one("select count(*) from sequence_gaps") == 0
    assert pipe.one(pipe.rows()) == 2 * sent.messages
    twice = "select from samples group by gpu_id, time having count(*) > 1"
    assert pipe.one(f"select count(*) from ({twice}) as rows") == 0


class _Sending:
    """Hosts that go on sending while the block lasts."""

    def __init__(self, pipe: Pipe, hosts: list[FakeHost]) -> None:
        self.messages = 0
        self._pipe = pipe
        self._hosts = hosts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failures: list[BaseException] = []

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.05):
                for host in self._hosts:
                    self._pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
                    self.messages += 1
        except BaseException as error:  # noqa: BLE001 - told to the test at its end
            self._failures.append(error)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self._failures == []
