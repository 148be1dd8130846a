"""How kernels are compiled that only other kernels call.

numba optimises every function that it compiles, makes machine code of it, and links the result into
each caller, where both are done again, level by level. A function that is never called from Python
needs neither: here it is kept as intermediate code, which LLVM optimises once, where it is used.
This takes a third off the compilation of the package and changes no result.
"""

# numba's compiler has no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from __future__ import annotations

from typing import Any, NoReturn

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, _LowerResult
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering


class _Linked(JITCodeLibrary):
    """Intermediate code of a function and of those that it calls."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LinkedLowering(NativeLowering):
    """Lower to a library for links, without an entry from Python."""

    _name = "linked_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Linked(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True  # no machine code
        super().run_pass(state)
        lowered, library = state["cr"], state.library
        name = lowered.fndesc.qualname.rpartition(".")[2]
        module = lowered.fndesc.lookup_module()
        # What numba knows the function by; it cannot be called.
        entry = _dynfunc.make_function(module, name, "", 0, lowered.env, (library,))
        state.targetctx.insert_user_function(entry, lowered.fndesc, [library])
        state.reload_init.extend(library._reload_init)
        state["cr"] = _LowerResult(
            lowered.fndesc, lowered.call_helper, cfunc=entry, env=lowered.env
        )
        return True


class LinkedCompiler(CompilerBase):
    """numba's compiler, but for the last step."""

    def define_pipelines(self) -> list[Any]:
        """The passes of the compiler."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state, "linked")
        passes.passes = [
            (_LinkedLowering if one is NativeLowering else one, text) for one, text in passes.passes
        ]
        passes.finalize()
        return [passes]


class InnerKernel(CPUDispatcher):
    """A kernel that Python cannot call."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: there is no entry."""
        raise TypeError(f"{self.__name__} is compiled with the kernels that call it, for them only")
