"""What a start has made stays without being looked at, and what it has left behind goes."""

import gc

from agent.settled import settle


def test_what_is_there_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    try:
        settle()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
