"""What the product's source must not hold: string-built SQL, shells, eval, unsafe loaders, no TLS.

The checks read the syntax tree; that each of them finds what it is for is tested first.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_files import ROOT, SOURCES

TAKES_SQL = {"execute", "executemany", "copy", "stream", "executescript", "SQL"}
EVALUATES = {"eval", "exec", "compile", "__import__"}
UNSAFE_LOADERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "jsonpickle"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_fixed(node: ast.expr) -> bool:
    """Whether a value stands in the source: a literal, a constant's name, one of two."""
    if isinstance(node, ast.IfExp):
        return is_fixed(node.body) and is_fixed(node.orelse)
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def is_built(node: ast.expr) -> bool:
    """Whether a text is put together from parts that are not all constant."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return not all(map(is_fixed, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return not all(isinstance(side, ast.Constant) for side in (node.left, node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        inner = node.func.value
        if node.func.attr in ("format", "join", "replace", "format_map"):
            return isinstance(inner, ast.Constant | ast.JoinedStr)
        return node.func.attr == "encode" and is_built(inner)
    return False


def dangers(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    last = name.rpartition(".")[2] or (
        call.func.attr if isinstance(call.func, ast.Attribute) else ""
    )
    if last in TAKES_SQL and call.args and is_built(call.args[0]):
        yield "SQL is built from strings"
    if name in EVALUATES:
        yield "code is made from data"
    if name in SHELLS or any(
        word.arg == "shell" and not (isinstance(word.value, ast.Constant) and not word.value.value)
        for word in call.keywords
    ):
        yield "a shell reads a command"
    if name.partition(".")[0] in UNSAFE_LOADERS:
        yield "a loader runs what it loads"
    if name.endswith("yaml.load") or name in ("yaml.unsafe_load", "yaml.full_load"):
        yield "a loader runs what it loads"
    if any(
        word.arg in ("verify", "check_hostname")
        and isinstance(word.value, ast.Constant)
        and not word.value.value
        for word in call.keywords
    ):
        yield "TLS is not verified"
    if last == "_create_unverified_context":
        yield "TLS is not verified"


def found(text: str) -> list[tuple[int, str]]:
    tree = ast.parse(text)
    told = [
        (node.lineno, danger)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for danger in dangers(node)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            told.append((node.lineno, "TLS is not verified"))
        if (
            isinstance(node, ast.Assign)
            and any(dotted(target).endswith("check_hostname") for target in node.targets)
            and isinstance(node.value, ast.Constant)
            and not node.value.value
        ):
            told.append((node.lineno, "TLS is not verified"))
    return sorted(told)


@pytest.mark.parametrize(
    "text",
    [
        'db.execute(f"select * from {table}")', 'db.execute("select " + name)',
        'db.execute("select %s" % name)', 'await db.execute("select {}".format(name))',
        'cursor.copy(f"copy {table} from stdin")', 'db.execute(f"select {x}".encode())',
        'sql.SQL(f"set {x}")', 'db.executemany(" ".join(parts), rows)', "eval(text)",
        'exec("x")', "subprocess.run(command, shell=True)", "subprocess.run(c, shell=flag)",
        'os.system("ls")', "pickle.loads(body)", "yaml.load(text)", "yaml.full_load(text)",
        "httpx.get(url, verify=False)", "ssl._create_unverified_context()",
        "context.verify_mode = ssl.CERT_NONE", "context.check_hostname = False",
    ],
)  # fmt: skip
def test_t15_a_danger_is_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    [
        'db.execute("select %s", (x,))', 'db.execute("select " "x")', "db.execute(statement, x)",
        "subprocess.run(command, shell=False)", "yaml.safe_load(text)", "re.compile(pattern)",
        'db.execute(f"listen {CHANNEL}".encode())',
        "httpx.get(url, verify=context)", 'sql.SQL("select {}").format(sql.Identifier(x))',
    ],
)  # fmt: skip
def test_t15_what_is_safe_is_left_alone(text: str) -> None:
    assert not found(text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_t15_the_source_holds_none(path: Path) -> None:
    here = str(path.relative_to(ROOT))
    told = [f"{here}:{line}: {danger}" for line, danger in found(path.read_text("utf-8"))]
    assert told == []
