"""What a wheel and a source distribution hold, and whether the declared dependencies are true."""

import ast
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from importlib import import_module, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import purepipe

ROOT = Path(__file__).parent.parent
PACKAGE = Path(purepipe.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Modules whose distribution bears another name.
DISTRIBUTIONS = {"PIL": "pillow", "erfa": "pyerfa", "sklearn": "scikit-learn"}
# Used where it is there; it is on no package index.
UNLISTED = {"ngmix", "piff"}
EXTRAS = {
    "parquet": ["pyarrow.parquet"],
    "dask": ["distributed"],
    "mpi": ["mpi4py"],
    "online": ["astroquery"],
    "ngc": ["pyongc"],
    "treecorr": ["treecorr"],
    "skymaps": ["healsparse", "hpgeom"],
}
DATA = {
    "purepipe/py.typed", "purepipe/mask/data/messier.csv", "purepipe/mask/data/halo_polygon.csv",
    "purepipe/mask/data/spike_polygon.csv", "purepipe/report/templates/report.html",
    "purepipe/report/templates/sort.js", "purepipe/report/templates/style.css",
}  # fmt: skip


def build(target, folder):
    """The names in a distribution built by the backend alone, without a network, and its path."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    if target == "wheel":
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist()), path
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}, path


def test_wheel_holds_the_package_alone(tmp_path):
    names, path = build("wheel", tmp_path)
    assert names >= DATA
    sources = {p.relative_to(PACKAGE.parent).as_posix() for p in PACKAGE.rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert {name.split("/")[0] for name in names} == {
        "purepipe", f"purepipe-{purepipe.__version__}.dist-info",
    }  # fmt: skip
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert path.stat().st_size < 1_500_000
    with zipfile.ZipFile(path) as archive:
        info = f"purepipe-{purepipe.__version__}.dist-info"
        meta = message_from_bytes(archive.read(f"{info}/METADATA"))
        command = PROJECT["scripts"]["purepipe"]
        assert f"purepipe = {command}".encode() in archive.read(f"{info}/entry_points.txt")
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    module, _, function = command.partition(":")
    assert callable(getattr(import_module(module), function))
    assert meta["Requires-Python"] == PROJECT["requires-python"]
    assert meta["License-Expression"] == "BSD-3-Clause"
    assert set(meta.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])


def test_source_distribution_can_be_tested_and_built(tmp_path):
    names, _ = build("sdist", tmp_path)
    assert names >= DATA | {
        "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff",
        "tests/conftest.py", "tests/reference/detect/tile.npz", "examples/survey.toml",
        "docs/conf.py", "benchmarks/run_all.py",
    }  # fmt: skip
    assert not [name for name in names if "__pycache__" in name or "/_build/" in name]


def imported_libraries():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.split(".")[0]


def test_every_imported_library_is_declared():
    extras = [text for extra in EXTRAS for text in PROJECT["optional-dependencies"][extra]]
    declared = {Requirement(text).name for text in [*PROJECT["dependencies"], *extras]}
    used = set(imported_libraries()) - set(sys.stdlib_module_names) - {"purepipe"} - UNLISTED
    assert {DISTRIBUTIONS.get(name, name) for name in used} <= declared


@pytest.mark.parametrize("text", PROJECT["dependencies"])
def test_dependencies_have_a_lower_bound_that_holds_here(text):
    need = Requirement(text)
    assert [part.operator for part in need.specifier] == [">="]
    assert need.specifier.contains(metadata.version(need.name), prereleases=True)


def test_extras_are_all_known():
    assert set(PROJECT["optional-dependencies"]) == {*EXTRAS, "test", "docs", "lint"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_extra_can_be_imported(extra):
    for text in PROJECT["optional-dependencies"][extra]:
        need = Requirement(text)
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{need.name} is not installed: pip install 'purepipe[{extra}]'")
        assert need.specifier.contains(version, prereleases=True)
    for name in EXTRAS[extra]:
        assert import_module(name) is not None
