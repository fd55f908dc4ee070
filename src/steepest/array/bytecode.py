"""What the instructions of a function's bytecode say of the names that it is at work on."""

from __future__ import annotations

import dis
import re
from types import CodeType
from typing import Any

__all__ = ["instructions_of"]


def instructions_of(code: CodeType) -> list[dis.Instruction]:
    """List the instructions of a code, each of which does one thing.

    Since Python 3.13, one instruction may do two in a row, of which it has only the first one's
    place in the source. The second of two loads begins, if it is followed by what is done to its
    value, where that begins; otherwise its place is not known.
    """
    listed = [each for each in dis.get_instructions(code) if each.opname not in _PARTS]
    parted: list[dis.Instruction] = []
    for each, after in zip(listed, [*listed[1:], None], strict=True):
        pair = _PAIR.fullmatch(each.opname)
        if pair is None:
            parted.append(each)
            continue
        is_followed = after is not None and after.opname in _APPLIED_TO_LAST
        places = each.positions, after.positions if after and is_followed else None
        numbers = divmod(each.arg or 0, 16)
        for kind, number, name, place in zip(
            pair.groups(), numbers, each.argval, places, strict=True
        ):
            parts: dict[str, Any] = {
                "opname": kind,
                "opcode": dis.opmap[kind],
                "arg": number,
                "argval": name,
                "argrepr": name,
                "positions": place,
            }
            if parted and parted[-1].offset == each.offset:
                # Jumps lead to the first of the two.
                parts["label"] = None
            parted.append(each._replace(**parts))
    return parted


_PARTS = ("CACHE", "EXTENDED_ARG", "NOP")
_PAIR = re.compile("((?:LOAD|STORE)_FAST(?:_BORROW)?)_((?:LOAD|STORE)_FAST(?:_BORROW)?)")
_APPLIED_TO_LAST = ("LOAD_ATTR", "PUSH_NULL")
