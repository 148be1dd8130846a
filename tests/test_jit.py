"""Where machine code is kept."""

import os
import subprocess
import sys

import numpy as np
import pytest

from purepipe.gnomonic_nb import distorted


def run(code, **environment):
    clean = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env=clean | environment,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_cache_is_the_users_own_folder_even_when_numba_was_imported_before(tmp_path):
    for first in ("", "import numba; "):
        code = f"{first}import purepipe._jit, numba; print(numba.config.CACHE_DIR)"
        folder = run(code, XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path))
        assert folder.startswith(str(tmp_path))
        assert "purepipe" in folder


def test_the_users_choice_stands(tmp_path):
    code = "import purepipe._jit, numba; print(numba.config.CACHE_DIR)"
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)) == str(tmp_path)


def test_a_read_only_cache_gives_a_temporary_folder(tmp_path):
    (tmp_path / "file").write_text("")
    code = "import purepipe._jit, numba; print(numba.config.CACHE_DIR)"
    folder = run(code, XDG_CACHE_HOME=str(tmp_path / "file"), HOME=str(tmp_path / "file"))
    assert "purepipe-numba-" in folder


def test_kernels_do_not_need_scipy_until_they_multiply_matrices():
    code = """
import sys

import pytest
import numpy as np
import purepipe._jit, numba
print("scipy.linalg" in sys.modules)
product = numba.njit(lambda a: a @ a)
print(product(np.full((2, 2), 2.0)).tolist())
print("scipy.linalg" in sys.modules)
"""
    assert run(code).splitlines() == ["False", "[[8.0, 8.0], [8.0, 8.0]]", "True"]


FITS = """
import hashlib, numpy as np
from purepipe.shapes import metacal_fit
y, x = np.mgrid[-20:21, -20:21]
psf = np.exp(-(x**2 + y**2) / 8.0)[None, None] / 25.0
image = 1e4 * np.exp(-(x**2 + 1.3 * y**2) / 14.0) + np.random.default_rng(0).normal(0, 10, x.shape)
found = metacal_fit(image[None, None], psf, 0.187 * np.eye(2)[None, None], [[10.0]], seed=1)
print(hashlib.sha256(found.pars.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_kernels_compiled_now_and_kernels_from_the_cache_give_the_same_bits(tmp_path):
    first = run(FITS, NUMBA_CACHE_DIR=str(tmp_path))
    assert any(tmp_path.rglob("*.nbc"))
    assert run(FITS, NUMBA_CACHE_DIR=str(tmp_path)) == first


CALLER = """
from purepipe._jit import inner_kernel, kernel

@inner_kernel
def _doubled(x):
    return 2 * x

@kernel
def quadrupled(x):
    return _doubled(_doubled(x))
"""


NUMBAS = {
    "known": "",
    "newer": "import numba; numba.version_info = numba.version_info._replace(short=(9, 0)); ",
    "of other parts": "import sys; sys.modules['purepipe._linked'] = None; ",
}


@pytest.mark.parametrize("name", NUMBAS)
def test_what_only_kernels_call_is_kept_with_its_callers(tmp_path, name):
    """Also by versions of numba whose compiler is not the one that is known here."""
    (tmp_path / "caller.py").write_text(CALLER)
    code = f"{NUMBAS[name]}import caller; print(caller.quadrupled(3)); print(caller._doubled)"
    for _ in range(2):
        text = run(code, NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(tmp_path))
        assert text.splitlines()[0] == "12"
        assert ("InnerKernel" in text) == (name == "known")
    assert [path.name.split(".")[1].split("-")[0] for path in tmp_path.rglob("*.nbc")] == [
        "quadrupled"
    ]


def test_python_cannot_call_what_is_compiled_for_kernels_alone():
    with pytest.raises(TypeError, match="distorted is compiled with the kernels that call it"):
        distorted(0.0, 0.0, np.zeros((2, 2, 2)), np.zeros((2, 0)))


KEPT = """
import numba
from purepipe._jit import kernel

@kernel
def first(values):
    return 2 * values

@kernel
def second(values):
    return first(values) + first(values).sum()
"""


def test_kernels_from_disk_need_no_compiler_and_can_be_linked_with_new_ones(tmp_path):
    (tmp_path / "two.py").write_text(KEPT)
    folders = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    code = """
import sys, two, numpy as np
print(two.first(np.arange(3.0)), "numba.np.arraymath" in sys.modules)
print(two.first.stats.cache_path)
"""
    fresh, kept = run(code, **folders), run(code, **folders)
    assert fresh.splitlines()[0] == "[0. 2. 4.] True"
    assert kept.splitlines()[0] == "[0. 2. 4.] False"
    assert kept.splitlines()[1].startswith(str(tmp_path))
    linked = f"{code}\nprint(two.second(np.arange(3.0)), dict(two.first.stats.cache_hits))"
    for _ in range(2):
        assert run(linked, **folders).splitlines()[2].startswith("[ 6.  8. 10.] {(Array(float64")


@pytest.mark.parametrize("name", ["newer", "of other parts"])
def test_kernels_are_kept_with_any_numba(tmp_path, name):
    (tmp_path / "two.py").write_text(KEPT)
    folders = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    start = NUMBAS[name].replace("_linked", "_kept")
    code = f"{start}import two; print(two.first(3), len(two.first.stats.cache_hits))"
    assert [run(code, **folders) for _ in range(2)] == ["6 0", "6 1"]


@pytest.mark.parametrize("pattern", ["*.nbc", "*.nbi"])
@pytest.mark.parametrize("left", [0, 60])
def test_damaged_machine_code_is_made_anew(tmp_path, pattern, left):
    (tmp_path / "two.py").write_text(KEPT)
    folders = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    code = """
import logging, sys, two
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(name)s %(message)s")
logging.getLogger("numba").setLevel(logging.INFO)
print(two.first(3), len(two.first.stats.cache_hits))
"""
    run(code, **folders)
    (path,) = tmp_path.rglob(pattern)
    path.write_bytes(path.read_bytes()[:left])
    log, found = run(code, **folders).splitlines()[-2:]
    assert log.startswith(f"purepipe._kept {path} cannot be used: ")
    assert found == "6 0"
    assert run(code, **folders) == "6 1"


def test_the_folder_changes_with_the_way_of_compiling(tmp_path, monkeypatch):
    from purepipe import _jit

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_jit, "__file__", str(tmp_path / "_jit.py"))
    (tmp_path / "one_nb.py").write_text("")
    folders = set()
    for number, name in enumerate(["_jit.py", "_linked.py", "_kept.py"] * 2):
        for each in ("_jit.py", "_linked.py", "_kept.py"):
            (tmp_path / each).touch()
        (tmp_path / name).write_text("#" * number)
        folders.add(_jit._cache_directory())
    assert len(folders) == 6
