"""Kernels that only other kernels call, with an entry from Python."""

from collections.abc import Callable
from typing import Any

import numba


def entry(kernel: Any) -> Callable[..., Any]:
    """A function that runs `kernel`, compiled to be called from Python."""
    return numba.njit(nogil=True, error_model="numpy", cache=True)(kernel.py_func)
