"""From LLVM assembly to machine code: verify, optimise, translate."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from steepest.engines.native.processor import Processor

__all__ = ["machine_code"]


_ONE_AT_A_TIME = threading.Lock()


def machine_code(assembly: str, processor: Processor, finished: str = "") -> bytes:
    """Translate a module to an object file.

    Parameters
    ----------
    assembly : str
    processor : Processor
    finished : str
        A second module, which the first calls, and whose code is as good as LLVM's passes would
        make it: it goes without them, which takes less than half the time.

    Raises
    ------
    RuntimeError
        When the assembly is not valid, which is a bug in what wrote it.
    """
    import llvmlite.binding as llvm

    with _ONE_AT_A_TIME:
        machine = _target_machine(processor)
        # LLVM keeps types and constants for as long as their context lives: one for each module.
        context = llvm.create_context()
        module = _parsed(assembly, processor, context)
        # Loops come unrolled, in vectors and with their sums in registers, where that is worth
        # it. LLVM's whole pipeline takes several times as long, for code that was measured to be
        # as fast.
        passes, builder = _passes(processor)
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)
        if finished:
            module.link_in(_parsed(finished, processor, context))
        code: bytes = machine.emit_object(module)
        return code


def _parsed(assembly: str, processor: Processor, context: Any) -> Any:
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(assembly, context)
    module.triple = processor.triple
    module.data_layout = str(_target_machine(processor).target_data)
    module.verify()
    return module


@cache
def _target_machine(processor: Processor) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(processor.triple)
    return target.create_target_machine(
        cpu=processor.name, features=processor.features, opt=2, reloc="pic", codemodel="small"
    )


@cache
def _passes(processor: Processor) -> tuple[Any, Any]:
    """Make the list of passes and what runs it, once: LLVM does not give their memory back."""
    import llvmlite.binding as llvm

    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    options = llvm.create_pipeline_tuning_options()
    return passes, llvm.create_pass_builder(_target_machine(processor), options)
