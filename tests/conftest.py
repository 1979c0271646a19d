"""Makes the shared fixtures known: every `fix_<subject>.py` beside this file is a plugin.

Also tells Hypothesis that no test is timed: a busy machine is no failure. Tests with a browser come
last, together: the fleet that they share moves only while somebody looks at it.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("house")

pytest_plugins = [f"tests.{path.stem}" for path in sorted(Path(__file__).parent.glob("fix_*.py"))]

# Before any of them is loaded, since they import one another.
pytest.register_assert_rewrite(*pytest_plugins)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
