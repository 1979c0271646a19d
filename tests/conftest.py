"""Makes the shared fixtures known: every `fix_<subject>.py` beside this file is a plugin."""

from pathlib import Path

import pytest

pytest_plugins = [f"tests.{path.stem}" for path in sorted(Path(__file__).parent.glob("fix_*.py"))]

# Before any of them is loaded, since they import one another.
pytest.register_assert_rewrite(*pytest_plugins)
