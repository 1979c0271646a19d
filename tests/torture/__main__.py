"""Kill, freeze, cut and rewind by seed: `make torture SEED=7 SECONDS=60 RUNS=20 PARALLEL=2`.

Each run has a schedule that follows from its seed, and an independent tally. One line of JSON a run
goes to the log; the exit code is not 0 if any run failed. A failed run leaves its folder (the
programs' logs, spools and tallies) and names it. A mutant has RUNS seeds to be caught in, or a
scene of its own, which has to pass without it.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.torture import mutants, scenes, schedule
from tests.torture.programs import REPOSITORY
from tests.torture.stage import STACKS
from tests.torture.torment import torment

LOG = REPOSITORY / "torture.jsonl"
# Beside its seconds a run may take this long: services, drain, second reading.
OVERHEAD_S = 900
# What a run ends with whose verdict is that something is wrong; 1 is a harness that broke.
FAILED = 3
# With a mutant: the programs did not run, so that nothing was seen of it.
NOT_SEEN = 4


def main() -> int:
    arguments = _parser().parse_args()
    if (arguments.runs == 1 or arguments.scene) and not arguments.mutants:
        return _one(arguments)
    with ThreadPoolExecutor(arguments.parallel) as pool:
        if arguments.mutants:
            # What a scene finds without a mutant, it would not have found because of it.
            scenic = pool.map(_child, [_options(arguments, "", _scene(s)) for s in scenes.SCENES])
            caught = pool.map(lambda mutant: _catch(arguments, mutant), mutants.NAMES)
            failed, survived = sum(code != 0 for code in scenic), list(caught).count(False)
            print(f"{len(scenes.SCENES)} scenes without a mutant, {failed} failed")
            print(f"{len(mutants.NAMES)} mutants, {survived} survived; {arguments.log}")
            return 1 if failed or survived else 0
        codes = list(pool.map(_child, _seeds(arguments, arguments.mutant)))
    failed = sum(code != 0 for code in codes)
    print(f"{len(codes)} runs, {failed} failed; {arguments.log}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=1, help="seeds: this many from SEED on")
    parser.add_argument("--parallel", type=int, default=1, help="runs at a time")
    parser.add_argument("--stack", choices=sorted(STACKS), default="light")
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--mutant", default="", choices=["", *mutants.NAMES])
    parser.add_argument("--scene", choices=sorted(scenes.SCENES), help="instead of a seed")
    parser.add_argument(
        "--mutants", action="store_true", help="let every mutant of the product be caught"
    )
    parser.add_argument("--show", action="store_true", help="print the schedule and do nothing")
    return parser


def _one(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments)
    print("\n".join(plan.lines()), flush=True)
    if arguments.show:
        return 0
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{arguments.scene or arguments.seed}-"))
    say = lambda text: print(text, flush=True)  # noqa: E731 - as a file is followed
    verdict = torment(plan, arguments.stack, folder, mutant=arguments.mutant, say=say)
    line = json.dumps(verdict.as_line())
    with arguments.log.open("a") as log:
        log.write(line + "\n")
    print(line)
    if verdict.problems:
        print("\n".join(verdict.problems), f"everything is in {folder}", sep="\n")
        return FAILED if verdict.is_caught or not arguments.mutant else NOT_SEEN
    shutil.rmtree(folder)
    return 0


def _plan(arguments: argparse.Namespace) -> schedule.Schedule:
    if arguments.scene:
        return scenes.SCENES[arguments.scene]
    keeps_log = arguments.stack == "full"
    plan = schedule.make(arguments.seed, arguments.seconds, keeps_log=keeps_log)
    return plan.without_rewinds() if arguments.mutant else plan


def _catch(arguments: argparse.Namespace, mutant: str) -> bool:
    """Return whether its scene or one of the seeds catches a mutant; those after it are not run."""
    scene = scenes.OF_MUTANTS.get(mutant)
    if scene is None:
        runs = _seeds(arguments, mutant)
    else:
        runs = iter([_options(arguments, mutant, _scene(scene))])
    caught = any(_child(options) == FAILED for options in runs)
    print(f"{'caught' if caught else 'SURVIVED'}: {mutant}", flush=True)
    return caught


def _scene(name: str) -> str:
    return f"--scene={name}"


def _seeds(arguments: argparse.Namespace, mutant: str) -> Iterator[list[str]]:
    """Yield the options of each seed's run."""
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        yield _options(arguments, mutant, f"--seed={seed}")


def _options(arguments: argparse.Namespace, mutant: str, what: str) -> list[str]:
    """Return the options of a run, for every run has a process of its own."""
    return [
        f"--seconds={arguments.seconds}",
        f"--stack={arguments.stack}",
        f"--log={arguments.log}",
        f"--mutant={mutant}",
        what,
    ]


def _child(options: list[str]) -> int:
    seconds = _plan(_parser().parse_args(options)).seconds
    with tempfile.TemporaryFile("w+") as output:
        try:
            code = subprocess.run(
                [sys.executable, "-m", "tests.torture", *options],
                cwd=REPOSITORY,
                env=os.environ,
                stdout=output,
                stderr=output,
                timeout=seconds + OVERHEAD_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        output.seek(0)
        lines = output.read().splitlines()
    words = " ".join(options)
    print(f"{'passed' if code == 0 else 'FAILED'}: {words}", flush=True)
    if code != 0:
        print("\n".join(lines[-40:]), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
