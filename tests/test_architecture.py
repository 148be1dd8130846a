"""Who may import whom, and what `import purepipe` costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import purepipe

PACKAGE = Path(purepipe.__file__).parent

# From the ground upwards; a module may import its own layer's earlier rooms and all lower layers.
LAYERS = [
    ["_lazy", "_linked", "_kept", "_threads"],
    ["errors", "flags", "rng", "_jit", "display"],
    ["KERNELS"],
    ["config"],
    ["gnomonic"],
    ["wcs"],
    ["exposure", "catalogue"],
    ["survey"],
    ["mask"],
    ["detect"],
    ["select"],
    ["psf"],
    ["shapes"],
    ["legacy"],
    ["io"],
    ["simulate"],
    ["pipeline"],
    ["shapepipe"],
    ["report"],
    ["demo", "selftest", "commands"],
    ["cli"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILE_OPENERS = {"io", "legacy", "simulate", "pipeline", "shapepipe", "report", "cli"}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield path, parts


def room(parts):
    if parts[-1].endswith("_nb"):
        return "KERNELS"
    return parts[0]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] != "purepipe" or len(parts) < 2:
                continue
            kernel = next((part for part in parts[1:] if part.endswith("_nb")), None)
            yield "KERNELS" if kernel else parts[1], ".".join(parts)


@pytest.mark.parametrize(("path", "parts"), list(modules()), ids=lambda v: str(v)[-40:])
def test_imports_go_downwards(path, parts):
    if parts == ("__init__",) or parts == ("__main__",):
        return
    here = room(parts)
    for there, name in imported_rooms(path):
        if there == parts[0] or there == "__version__" or there == here == "KERNELS":
            continue
        assert RANK[there] < RANK[here], f"{'.'.join(parts)} imports {name}"


def test_no_relative_imports():
    for path, _ in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_dangerous_calls_are_absent():
    forbidden = {"eval", "exec", "__import__"}
    for path, parts in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in forbidden, path
                if node.func.id == "open":
                    assert parts[0] in FILE_OPENERS, path
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
                assert "pickle" not in names, path


def test_import_is_light():
    code = """
import sys, time
start = time.perf_counter()
import purepipe
print(time.perf_counter() - start)
print([name for name in ("numba", "galsim", "astropy.wcs", "matplotlib") if name in sys.modules])
"""
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        elapsed, heavy = done.stdout.splitlines()
        assert heavy == "[]"
        seconds.append(float(elapsed))
    assert min(seconds) < 0.3


def test_every_public_name_exists():
    for name in purepipe.__all__:
        assert getattr(purepipe, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'") as raised:
        _ = purepipe.nonsense
    # Python's "Did you mean" needs both.
    assert (raised.value.name, raised.value.obj) == ("nonsense", purepipe)


LAZY = [path for path, _ in modules() if "= lazy_names(" in path.read_text()]


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
def test_type_checkers_see_the_names_of_lazy_packages_and_no_others(path):
    """With a ``__getattr__`` they would take any name for a right one."""
    tests = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If)]
    seen, hidden = (ast.unparse(node) for node in tests)
    assert seen.startswith("if TYPE_CHECKING:")
    assert hidden.startswith("if not TYPE_CHECKING:\n    __getattr__, __dir__ = lazy_names(")
    names = {alias.name for node in ast.walk(tests[0]) for alias in getattr(node, "names", ())}
    package = importlib.import_module(".".join(["purepipe", *path.parts[len(PACKAGE.parts) : -1]]))
    assert names == {*package._HOMES, *getattr(package, "_ROOMS", ())}
