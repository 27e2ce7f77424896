"""The opcodes of pickle protocols 0 to 5, and how many values each takes from the stack.

Source: the documentation in the standard library's ``pickletools`` module and PEPs 307, 3154 and 574.
"""

from __future__ import annotations

MARK, STOP, POP, POP_MARK, DUP = 0x28, 0x2E, 0x30, 0x31, 0x32
FLOAT, INT, BININT, BININT1, LONG, BININT2 = 0x46, 0x49, 0x4A, 0x4B, 0x4C, 0x4D
NONE, PERSID, BINPERSID, REDUCE = 0x4E, 0x50, 0x51, 0x52
STRING, BINSTRING, SHORT_BINSTRING, UNICODE, BINUNICODE = 0x53, 0x54, 0x55, 0x56, 0x58
APPEND, BUILD, GLOBAL, DICT, EMPTY_DICT, APPENDS = 0x61, 0x62, 0x63, 0x64, 0x7D, 0x65
GET, BINGET, INST, LONG_BINGET = 0x67, 0x68, 0x69, 0x6A
LIST, EMPTY_LIST, OBJ, PUT, BINPUT, LONG_BINPUT = 0x6C, 0x5D, 0x6F, 0x70, 0x71, 0x72
SETITEM, TUPLE, EMPTY_TUPLE, SETITEMS, BINFLOAT = 0x73, 0x74, 0x29, 0x75, 0x47
PROTO, NEWOBJ, EXT1, EXT2, EXT4 = 0x80, 0x81, 0x82, 0x83, 0x84
TUPLE1, TUPLE2, TUPLE3, NEWTRUE, NEWFALSE, LONG1, LONG4 = 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8B
BINBYTES, SHORT_BINBYTES = 0x42, 0x43
SHORT_BINUNICODE, BINUNICODE8, BINBYTES8, EMPTY_SET, ADDITEMS, FROZENSET = 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x91
NEWOBJ_EX, STACK_GLOBAL, MEMOIZE, FRAME = 0x92, 0x93, 0x94, 0x95
BYTEARRAY8, NEXT_BUFFER, READONLY_BUFFER = 0x96, 0x97, 0x98

# Opcodes that take everything above the newest mark.
CLOSING = frozenset({TUPLE, SETITEMS, APPENDS, LIST, DICT, OBJ, INST, POP_MARK, ADDITEMS, FROZENSET})

_TAKES = {
    STOP: 1, DUP: 1, BINPERSID: 1, REDUCE: 2, APPEND: 2, BUILD: 2, PUT: 1, BINPUT: 1, LONG_BINPUT: 1, SETITEM: 3,
    NEWOBJ: 2, TUPLE1: 1, TUPLE2: 2, TUPLE3: 3, NEWOBJ_EX: 3, STACK_GLOBAL: 2, MEMOIZE: 1, READONLY_BUFFER: 1,
}  # fmt: skip

# Values that must lie on the stack (above the newest mark) before an opcode runs.
NEEDS = bytes(_TAKES.get(opcode, 0) for opcode in range(256))

# Opcodes followed by a length of so many bytes (little-endian), then text or bytes of that length.
SIZED_TEXT = {BINUNICODE: 4, SHORT_BINUNICODE: 1, BINUNICODE8: 8}
SIZED_BYTES = {BINSTRING: 4, SHORT_BINSTRING: 1, BINBYTES: 4, SHORT_BINBYTES: 1, BINBYTES8: 8, BYTEARRAY8: 8}
