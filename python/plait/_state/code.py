"""What a function's code says of names: which it assigns beyond itself, which it loads as globals.

A function is its code and the code of the functions, classes and comprehensions within it. Most functions are
cleared by a glance at their names and opcodes; `dis`, which is slow, is asked only about those that are under
suspicion, so that numbers and arguments of opcodes, which change from version to version, are its business.
"""

import opcode
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dis

_SETS_GLOBAL = ("STORE_GLOBAL", "DELETE_GLOBAL")
# These set variables that functions within share, too; only of those from outside they tell anything.
_SETS_FREE = ("STORE_DEREF", "DELETE_DEREF")
_GLOBAL = {number for name, number in opcode.opmap.items() if name.startswith(_SETS_GLOBAL)}
_FREE = {number for name, number in opcode.opmap.items() if name.startswith(_SETS_FREE)}
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_CLASSDEREF", "STORE_GLOBAL")
_ASKS = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")
# What stands between an import and the name that it is given.
_PASSED = ("CACHE", "EXTENDED_ARG", "NOP", "IMPORT_FROM", "SWAP", "POP_TOP")


class Code:
    """The code of one function."""

    def __init__(self, code: types.CodeType) -> None:
        """Read the names."""
        self.code = code
        self.all = list(_nested(code, frozenset(code.co_freevars)))
        self.names = frozenset(name for each, _ in self.all for name in each.co_names)

    def assigned(self) -> tuple[str, str] | None:
        """The first name that it assigns beyond itself, as ("global" or "closure", name), or None.

        A name that only an import gives its value is not one.
        """
        for each, free in self.all:
            # A code unit is two bytes, the first of which is the opcode.
            opcodes = each.co_code[::2]
            if not _GLOBAL.isdisjoint(opcodes) or (free and not _FREE.isdisjoint(opcodes)):
                found = _assigned(each, free)
                if found is not None:
                    return found
        return None

    def loads(self, name: str) -> bool:
        """Whether it loads (or assigns) this name as a global one, not merely as an attribute."""
        return self._has(name, _LOADS)

    def asks_for(self, name: str) -> bool:
        """Whether it asks an object for an attribute of this name, and does not merely set it."""
        return self._has(name, _ASKS)

    def _has(self, name: str, opnames: tuple[str, ...]) -> bool:
        return any(
            instruction.argval == name and instruction.opname.startswith(opnames)
            for each, _ in self.all
            if name in each.co_names
            for instruction in _instructions(each)
        )


def _instructions(code: types.CodeType) -> "Iterator[dis.Instruction]":
    import dis

    return dis.get_instructions(code)


def _nested(code: types.CodeType, shared: frozenset[str]) -> Iterator[tuple[types.CodeType, frozenset[str]]]:
    """A code and those within, each with its free variables that are those of the whole function, too."""
    yield code, shared
    for const in code.co_consts:
        if type(const) is types.CodeType:
            # What the function around has a cell of its own for is not the outer one of that name.
            free = shared.difference(code.co_cellvars).intersection(const.co_freevars)
            yield from _nested(const, free)


def _assigned(code: types.CodeType, free: frozenset[str]) -> tuple[str, str] | None:
    imported = False
    for instruction in _instructions(code):
        opname = instruction.opname
        if opname.startswith(_SETS_GLOBAL) and not imported:
            return "global", instruction.argval
        if opname.startswith(_SETS_FREE) and instruction.argval in free and not imported:
            return "closure", instruction.argval
        if opname.startswith("IMPORT_NAME"):
            imported = True
        elif opname not in _PASSED and not opname.startswith("STORE_"):
            imported = False
    return None
