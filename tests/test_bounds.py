"""Kernels stay within their arrays, which compiled code does not check by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        ("detect/test_kernels.py", "detect/test_measuring_kernels.py", "detect/test_engine.py"),
        (
            "shapes/test_metacal.py",
            "psf/test_fit_kernels.py",
            "psf/test_moments.py",
            "mask/test_raster.py",
        ),
    ],
    ids=["detect", "others"],
)
def test_kernels_stay_within_their_arrays(tmp_path, files):
    """The same tests, with every index checked."""
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=TESTS, env=os.environ | checked, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:]
