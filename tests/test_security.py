"""No input can make purepipe run code: no pickle, eval, shell or path that leads elsewhere."""

import ast
from pathlib import Path

import pytest

import purepipe

PACKAGE = Path(purepipe.__file__).parent
# Modules that unpickle, start programs, or load code by name.
MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml", "subprocess",
    "pty", "runpy", "code", "ctypes",
}  # fmt: skip
# Raises an exception in another thread of this process; loads nothing.
ALLOWED = {"limits.py": ["ctypes"]}
CALLS = {"eval", "exec", "__import__", "compile"}
ATTRIBUTES = {"os.system", "os.popen", "os.execv", "os.execvp", "os.spawnl", "os.spawnv"}
KEYWORDS = {("allow_pickle", True), ("shell", True)}


def problems(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split(".")[0] in MODULES:
                yield node.module
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                yield node.func.id
            for keyword in node.keywords:
                value = keyword.value
                if isinstance(value, ast.Constant) and (keyword.arg, value.value) in KEYWORDS:
                    yield f"{keyword.arg}={value.value}"
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in ATTRIBUTES:
                yield name


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_nothing_runs_code_from_inputs(path):
    assert list(problems(ast.parse(path.read_text()))) == ALLOWED.get(path.name, [])


def test_the_interpreter_is_all_that_is_reached_through_ctypes():
    tree = ast.parse((PACKAGE / "pipeline/limits.py").read_text())
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    reached = {name for name in names if name.startswith("ctypes")}
    assert reached == {
        "ctypes.c_ulong", "ctypes.py_object", "ctypes.pythonapi",
        "ctypes.pythonapi.PyThreadState_SetAsyncExc",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from subprocess import run",
        "eval('1')",
        "np.load(f, allow_pickle=True)",
        "run(x, shell=True)",
        "os.system('ls')",
    ],
)
def test_the_test_sees_them(text):
    assert list(problems(ast.parse(text)))
