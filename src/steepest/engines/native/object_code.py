"""From LLVM assembly to machine code: verify, optimise, translate."""

from __future__ import annotations

from functools import cache
from typing import Any

from steepest.engines.native.processor import Processor

__all__ = ["machine_code"]


def machine_code(assembly: str, processor: Processor) -> bytes:
    """Translate a module to an object file.

    Raises
    ------
    RuntimeError
        When the assembly is not valid, which is a bug in what wrote it.
    """
    import llvmlite.binding as llvm

    machine = _target_machine(processor)
    module = llvm.parse_assembly(assembly)
    module.triple = processor.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.slp_vectorization = False
    options.loop_vectorization = False  # what is worth it comes as vectors already
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


@cache
def _target_machine(processor: Processor) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(processor.triple)
    return target.create_target_machine(
        cpu=processor.name, features=processor.features, opt=2, reloc="pic", codemodel="small"
    )
