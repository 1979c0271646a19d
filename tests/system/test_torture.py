"""Nothing lost, nothing twice, while everything is being killed at random: short runs.

The long ones are `make torture`. A failure names the seed, which makes the same schedule again.
"""

import os
import random
from pathlib import Path

import pytest

from tests.fix_services import SERVICES
from tests.torture import schedule
from tests.torture.torment import torment
from tests.torture.waiting import PATIENCE_S

SECONDS = 25.0
SEED = int(os.environ.get("FLEETGAUGE_TORTURE_SEED", str(random.randrange(10**6))))


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(SECONDS + 4 * PATIENCE_S + 120)
@pytest.mark.parametrize("stack", ["light", *(["full"] if SERVICES == "all" else [])])
def test_what_was_kept_is_stored_once_while_everything_is_killed(
    stack: str, tmp_path: Path
) -> None:
    plan = schedule.make(SEED, SECONDS, keeps_log=stack == "full")
    print("\n".join(plan.lines()))
    verdict = torment(plan, stack, tmp_path)
    print(verdict.as_line())
    assert not verdict.problems, f"seed {SEED}, stack {stack}: {verdict.problems}"
