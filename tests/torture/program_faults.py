"""Faults of the product's own processes, and of each collector's way to the database.

Owns how an agent or a collector is killed, restarted and frozen, and how a way is cut; undoing it
included.
"""

from collections.abc import Sequence

from tests.fix_proxy import Proxy
from tests.torture.programs import Program
from tests.torture.schedule import Fault

SLOW_S = 0.1


class ProgramFaults:
    """What happens to one of several agents or collectors."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs

    def arguments(self, fault: Fault) -> tuple[Program]:
        return (self._programs[fault.number],)

    def begin_kill(self, program: Program) -> None:
        program.kill()

    def end_kill(self, program: Program) -> None:
        program.start()

    def begin_restart(self, program: Program) -> None:
        if program.is_started:
            program.terminate()

    def begin_freeze(self, program: Program) -> None:
        program.freeze()

    def end_freeze(self, program: Program) -> None:
        program.thaw()

    end_restart = end_kill


class RouteFaults:
    """What happens to one of the collectors' ways to the database."""

    def __init__(self, routes: Sequence[Proxy], collectors: Sequence[Program]) -> None:
        self._routes = routes
        self._collectors = collectors

    def arguments(self, fault: Fault) -> tuple[Proxy, Program]:
        return self._routes[fault.number], self._collectors[fault.number]

    def begin_cut(self, route: Proxy, _: Program) -> None:
        route.cut()

    def begin_stall(self, route: Proxy, _: Program) -> None:
        route.stall()

    def begin_mute(self, route: Proxy, _: Program) -> None:
        route.mute()

    def begin_delay(self, route: Proxy, _: Program) -> None:
        route.delay(SLOW_S)

    def end_cut(self, route: Proxy, _: Program) -> None:
        route.heal()

    def end_stall(self, route: Proxy, _: Program) -> None:
        route.cut()  # what was held back is lost, as in a partition
        route.heal()

    end_mute = end_stall
    end_delay = end_cut

    def begin_cut_before_commit(self, route: Proxy, _: Program) -> None:
        route.cut_at(b"COMMIT", passes=False)

    def begin_cut_after_commit(self, route: Proxy, _: Program) -> None:
        route.cut_at(b"COMMIT", passes=True)

    def begin_kill_at_commit(self, route: Proxy, program: Program) -> None:
        def kill() -> None:
            program.kill()
            program.start()

        route.cut_at(b"COMMIT", passes=True, act=kill)
