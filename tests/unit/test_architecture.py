"""The house holds: who may import whom, and how large a room may grow."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_files import ROOT, SOURCES

LINES_MAX = 400
BANNED_NAMES = {"utils.py", "common.py", "helpers.py", "types.py", "constants.py", "models.py"}


def test_the_import_table_holds() -> None:
    command = [
        str(Path(sys.executable).with_name("lint-imports")), "--no-cache",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_subject(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    assert path.name not in BANNED_NAMES
    assert text.startswith(('"""', 'r"""')), "a module says what it owns"


def test_asking_for_help_imports_no_program() -> None:
    code = (
        "import sys, fleetgauge.__main__ as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & "
        "{'agent','alerts','collector','dashboard','simulator','numpy','dash','psycopg','kafka'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_decisions_are_numbered_without_gaps_and_say_their_number() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert numbers == [f"{number:04}" for number in range(1, len(pages) + 1)]
    titles = [page.read_text("utf-8").split(maxsplit=2)[1] for page in pages]
    assert titles == numbers
