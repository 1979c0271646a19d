"""Faults of the broker, of the way to it that all take, and of what its log holds."""

import contextlib
import signal

import psycopg

from simulator.services.broker import Broker
from simulator.services.kafka import Kafka
from tests.fix_proxy import Proxy
from tests.torture import books, copied_log
from tests.torture.programs import signal_family
from tests.torture.schedule import Fault

SLOW_BYTES_PER_S = 3000.0


class BrokerFaults:
    """What happens to the broker."""

    def __init__(self, broker: Broker | Kafka, way: Proxy) -> None:
        self._broker = broker
        self._way = way

    def arguments(self, _: Fault) -> tuple[()]:
        return ()

    def begin_cut(self) -> None:
        self._way.cut()

    def begin_stall(self) -> None:
        self._way.stall()

    def begin_mute(self) -> None:
        self._way.mute()

    def begin_throttle(self) -> None:
        self._way.throttle(SLOW_BYTES_PER_S)

    def end_cut(self) -> None:
        self._way.heal()

    def end_stall(self) -> None:
        self._way.cut()
        self._way.heal()

    end_mute = end_stall
    end_throttle = end_cut

    def begin_freeze(self) -> None:
        signal_family(self._broker.pid, signal.SIGSTOP)

    def end_freeze(self) -> None:
        signal_family(self._broker.pid, signal.SIGCONT)

    def begin_kill(self) -> None:
        self._broker.kill()

    def end_kill(self) -> None:
        self._broker.start()


class LogFaults:
    """What happens to the log, and to the collectors' place in it."""

    def __init__(self, database_url: str, bootstrap: str, prefix: str) -> None:
        self._url = database_url
        self._bootstrap = bootstrap
        self._prefix = prefix

    def arguments(self, fault: Fault) -> tuple[int]:
        return (fault.draw,)

    def begin_offsets_back(self, draw: int) -> None:
        """Let the collectors read again what they have stored."""
        with contextlib.suppress(psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction):
            books.rewind(self._url, 1 + draw % 50)

    def begin_again(self, _: int) -> None:
        """Append everything that is in the log to it once more."""
        copied_log.append_again(self._bootstrap, self._prefix)
