"""The one decorator of compiled code.

Kernels release the GIL, so threads outside run them side by side; they are cached on disk under
the user's cache directory, in a folder that changes with the version and the kernels' sources, so
that an update never meets stale machine code. Floating-point rules stay strict: ``fast_kernel``
relaxes the order of additions and is only for loops proved to be free of NaN and infinities.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])


def _cache_directory() -> str:
    """A writable folder for machine code; a temporary one when the user's cache is read-only."""
    import platformdirs

    from purepipe import __version__

    # numba checks the file of a kernel, but not those of the kernels that it calls, nor how they
    # are compiled.
    package = Path(__file__).parent
    compilers = (package / name for name in ("_jit.py", "_linked.py", "_kept.py"))
    sources = hashlib.blake2b(digest_size=6)
    for path in (*sorted(package.rglob("*_nb.py")), *compilers):
        stat = path.stat()
        sources.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    name = f"numba-{__version__}-{sources.hexdigest()}"
    folder = Path(platformdirs.user_cache_dir("purepipe")) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return tempfile.mkdtemp(prefix="purepipe-numba-")
    return str(folder)


# Worker processes inherit the variable, so all of them share one cache.
os.environ.setdefault("NUMBA_CACHE_DIR", _cache_directory())

import numba  # noqa: E402

# numba reads the variable when it is imported, which may have been before.
numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # type: ignore[attr-defined]


# Those that `purepipe._linked` and `purepipe._kept` extend; with others kernels compile as usual.
_KNOWN_NUMBA = ((0, 63), (0, 68))


def kernel(function: F) -> F:
    """Compile `function` strictly: IEEE order of operations, no GIL, cached on disk."""
    kept = _part("_kept")
    compiled = numba.njit(nogil=True, error_model="numpy", cache=kept is None)(function)
    if kept is not None and compiled is not function:  # as in `_linked`
        kept.keep_on_disk(compiled)
    return cast(F, compiled)


def inner_kernel(function: F) -> F:
    """Compile `function` like `kernel`, for calls from other kernels only.

    It has no entry from Python and no machine code of its own: it is compiled with its callers.
    """
    return _linked(function)


def lean_kernel(function: F) -> F:
    """Compile `function` like `inner_kernel`, without counting references to its arrays.

    Only for functions that allocate nothing and return numbers: their arrays live as long as those
    of the caller. Small functions that read many arrays from tuples take half the time. One that
    allocates does not compile, and neither does one that calls such a function.
    """
    return _linked(function, _nrt=False)


def fast_kernel(function: F) -> F:
    """Compile `function` like `inner_kernel`, with reordered sums and fused multiply-adds.

    Its inputs must be finite.
    """
    return _linked(function, fastmath={"reassoc", "contract", "nsz", "arcp", "afn"})


def _linked(function: F, **options: Any) -> F:
    """Compile `function` for links; what its callers keep on disk contains it."""
    linked = _part("_linked")
    if linked is None:
        options.pop("_nrt", None)
        return cast(F, numba.njit(nogil=True, error_model="numpy", **options)(function))
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    options["pipeline_class"] = linked.LinkedCompiler
    inner = numba.njit(nogil=True, error_model="numpy", **options)(function)
    if inner is not function:  # which numba leaves as it is where compilation is switched off
        inner.__class__ = linked.InnerKernel
    return cast(F, inner)


@cache
def _part(name: str) -> ModuleType | None:
    """A module that extends numba; None where numba is not one that it knows."""
    oldest, newest = _KNOWN_NUMBA
    if not oldest <= numba.version_info.short <= newest:
        return None
    try:
        return import_module(f"purepipe.{name}")
    except ImportError:
        return None
