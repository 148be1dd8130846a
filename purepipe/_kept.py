"""How machine code is taken from the disk.

numba prepares its compiler before it looks for machine code of an earlier run, and reads the
intermediate code that lies beside it, for other functions to be linked with. Where nothing has to
be compiled this is a quarter of the CPU time of a command on a small image. Here both wait until
they are needed; what is kept on disk stays as numba writes it.
"""

# numba's compiler has no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from __future__ import annotations

import logging
import sys
from functools import cache, cached_property
from importlib import import_module
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary, ll
from numba.core.runtime import _nrt_python

log = logging.getLogger(__name__)


class _KeptLibrary(JITCodeLibrary):
    """Machine code of a function; its intermediate code is read when another one is linked."""

    @classmethod
    def _unserialize(cls, codegen: Any, state: Any) -> Any:
        name, kind, data = state
        if kind != "object":
            return super()._unserialize(codegen, state)
        self = cls(codegen, name)
        machine_code, self._intermediate_code = data
        self.enable_object_caching()
        self._set_compiled_object(machine_code)
        self._finalize_final_module()
        return self

    def get_pointer_to_function(self, name: str) -> int:
        """The address of a function."""
        address: int = self._codegen._engine.get_function_address(name)
        return address

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            self._shared_module = ll.parse_bitcode(self._intermediate_code)
            self._codegen._engine._load_defined_symbols(self._shared_module)
        return self._shared_module


class _Results(CompileResultCacheImpl):
    """From files to functions and back."""

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        codegen = target_context.codegen()
        usual = codegen._library_class
        codegen._library_class = _KeptLibrary  # numba holds its lock meanwhile
        try:
            return super().rebuild(target_context, payload)
        finally:
            codegen._library_class = usual


class _Entries(IndexDataCacheFile):
    """What the files hold; those that a full disk or a crash has damaged are written anew."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception as error:  # damaged pickles raise anything
            log.debug("%s cannot be used: %r", self._index_path, error)
            return {}

    def _load_data(self, name: str) -> Any:
        try:
            return super()._load_data(name)
        except Exception as error:  # as above
            log.debug("%s cannot be used: %r", self._data_path(name), error)
            raise OSError("damaged") from error  # which numba takes for an absent file


class _Files(FunctionCache):
    """The files of a function."""

    _impl_class = _Results

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _Entries(
            self._cache_path, self._impl.filename_base, locator.get_source_stamp()
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is kept for a signature; None if nothing is, and then the compiler is ready."""
        _name_allocator()
        with self._guard_against_spurious_io_errors():
            kept = self._load_overload(sig, target_context)
            if kept is not None:
                return kept
        _import_array_functions()
        target_context.refresh()
        return None


class _Cache:
    """numba's cache of a function, which looks for its folder when it is first used."""

    def __init__(self, function: Any) -> None:
        self._function = function

    @cached_property
    def _files(self) -> _Files:
        return _Files(self._function)

    def __getattr__(self, name: str) -> Any:
        """What numba asks of a cache."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._files, name)


def keep_on_disk(kernel: Any) -> None:
    """Let a compiled function take its machine code from disk, and keep it there."""
    kernel._cache = _Cache(kernel.py_func)


@cache
def _name_allocator() -> None:
    """Let machine code find numba's functions that allocate memory.

    numba does the same when it prepares its compiler, and compiles what other functions are linked
    with, which the code on disk contains.
    """
    for name, address in _nrt_python.c_helpers.items():
        ll.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


def _import_array_functions() -> None:
    """Import numba's array functions without scipy.linalg, a tenth of a second of CPU time.

    They import it only to learn whether there is a BLAS. There is, as scipy is required; a
    kernel that multiplies matrices imports it when it is compiled or first called.
    """
    from numba.np import linalg

    check = getattr(linalg, "ensure_blas", None)
    if check is None or "numba.np.arraymath" in sys.modules:
        return
    linalg.ensure_blas = lambda: None
    try:
        import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = check
