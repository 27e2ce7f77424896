"""A pickle machine that builds descriptions and runs nothing.

It follows the opcodes of the standard library's ``pickletools`` documentation. A class or function is only ever its name; calling one is
looked up in the allow-list of :mod:`extractors.torch.rebuild`, and gives an inert object otherwise. Lengths are checked against what is
left of the file before anything is read, and what is kept in memory is counted.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from extractors.torch import opcodes as op
from extractors.torch.inert import Blob, Global, Opaque, Table
from extractors.torch.pickle_input import PickleInput
from extractors.torch.rebuild import Rebuilder
from trimcache.errors import FormatError

# Estimated bytes of all values and memo entries. A tensor costs about 700, so this is enough for 250,000 tensors.
MAX_HELD_NBYTES = 192 << 20
_MAX_STACK = 1 << 20  # values between two marks; picklers write batches of 1,000
_MAX_MARKS = 10_000
_MAX_DIGITS = 100
_HIGHEST_PROTOCOL = 5

_U16 = struct.Struct("<H").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U32 = struct.Struct("<I").unpack_from
_U64 = struct.Struct("<Q").unpack_from
_F64 = struct.Struct(">d").unpack_from
_CONSTANTS = {op.NONE: None, op.NEWTRUE: True, op.NEWFALSE: False, op.EMPTY_TUPLE: ()}
_SIZED = {**op.SIZED_TEXT, **op.SIZED_BYTES}


class PickleMachine:
    """Reads one pickle from ``source``; the position behind it is ``source.consumed`` afterwards."""

    def __init__(self, source: PickleInput, rebuilder: Rebuilder) -> None:
        self._in = source
        self._rebuilder = rebuilder
        self._memo: list[Any] = []
        self._sparse_memo: dict[int, Any] = {}
        self._globals: dict[tuple[str, str], Global] = {}
        self._held = 0

    def load(self) -> Any:
        """The value that the pickle describes.

        Raises:
            FormatError: it breaks the rules of pickle or of torch, or is larger than the limits of this module.
        """
        source, rebuilder, memo = self._in, self._rebuilder, self._memo
        needs, closing, sized, constants = op.NEEDS, op.CLOSING, _SIZED, _CONSTANTS
        # Local names for the opcodes that a tensor has several of: this loop is most of what reading a header costs.
        binput, long_binput, binget, long_binget = op.BINPUT, op.LONG_BINPUT, op.BINGET, op.LONG_BINGET
        mark, tuple_, binint1 = op.MARK, op.TUPLE, op.BININT1
        stack: list[Any] = []
        marks: list[list[Any]] = []
        buf, pos, low, valid = source.buf, source.pos, source.low, source.valid
        held = 0
        while True:
            if pos > low:
                self._charge(held)
                held = 0
                if len(stack) > _MAX_STACK:
                    self._fail("piles up too many values")
                source.refill(pos)
                buf, pos, low, valid = source.buf, 0, source.low, source.valid
            code = buf[pos]
            pos += 1
            if len(stack) < needs[code]:
                self._fail("takes more values than it made")
            if code == long_binput:
                index = _U32(buf, pos)[0]
                pos += 4
                if index == len(memo):
                    memo.append(stack[-1])
                    held += 8
                else:
                    self._put(index, stack[-1])
            elif code == binget:
                index = buf[pos]
                pos += 1
                stack.append(memo[index] if index < len(memo) else self._get(index))
            elif code == binput:
                self._put(buf[pos], stack[-1])
                pos += 1
            elif code == long_binget:
                index = _U32(buf, pos)[0]
                pos += 4
                stack.append(memo[index] if index < len(memo) else self._get(index))
            elif code == mark:
                marks.append(stack)
                stack = []
                held += 56
                if len(marks) > _MAX_MARKS:
                    self._fail("is nested too deeply")
            elif code in closing:
                if not marks:
                    self._fail("closes something that it never opened")
                items, stack = stack, marks.pop()
                held += 8 * len(items)
                if code == tuple_:
                    stack.append(tuple(items))
                    held += 40
                elif code == op.INST:
                    source.pos = pos
                    name = self._global(source.line(pos), source.line(source.pos))
                    buf, pos, low, valid = source.buf, source.pos, source.low, source.valid
                    stack.append(Opaque(name, tuple(items)))
                    held += 300
                else:
                    held += 64
                    self._close(code, stack, items)
            elif code == binint1:
                stack.append(buf[pos])
                pos += 1
            elif code == op.BININT2:
                stack.append(_U16(buf, pos)[0])
                pos += 2
                held += 28
            elif code == op.BININT:
                stack.append(_I32(buf, pos)[0])
                pos += 4
                held += 28
            elif code in sized:
                width = sized[code]
                nbytes = buf[pos] if width == 1 else _U32(buf, pos)[0] if width == 4 else _U64(buf, pos)[0]
                pos += width
                end = pos + nbytes
                raw: bytes | None
                if end <= valid:
                    raw, pos = buf[pos:end], end
                else:
                    raw = source.take(pos, nbytes)
                    buf, pos, low, valid = source.buf, source.pos, source.low, source.valid
                held += 56 + (nbytes if raw is not None else 0)
                stack.append(Blob(nbytes) if raw is None else self._text(raw) if code in op.SIZED_TEXT else raw)
            elif code in constants:
                stack.append(constants[code])
            elif code == op.BINPERSID:
                held += 100
                stack[-1] = rebuilder.persistent(stack[-1])
            elif code == op.REDUCE:
                held += 120
                args = stack.pop()
                stack[-1] = rebuilder.call(stack[-1], args)
            elif code == op.TUPLE1:
                held += 48
                stack[-1] = (stack[-1],)
            elif code == op.TUPLE2:
                held += 56
                stack[-2:] = [(stack[-2], stack[-1])]
            elif code == op.TUPLE3:
                held += 64
                stack[-3:] = [(stack[-3], stack[-2], stack[-1])]
            elif code == op.MEMOIZE:
                memo.append(stack[-1])
                held += 8
            elif code == op.EMPTY_DICT:
                held += 104
                stack.append(Table())
            elif code == op.EMPTY_LIST:
                held += 64
                stack.append([])
            elif code == op.BINFLOAT:
                held += 24
                stack.append(_F64(buf, pos)[0])
                pos += 8
            elif code == op.GLOBAL:
                source.pos = pos
                stack.append(self._global(source.line(pos), source.line(source.pos)))
                buf, pos, low, valid = source.buf, source.pos, source.low, source.valid
            elif code == op.APPEND:
                held += 9
                self._append(stack[-2], stack[-1:])
                stack.pop()
            elif code == op.SETITEM:
                held += 18
                self._set_items(stack[-3], stack[-2:])
                del stack[-2:]
            elif code == op.POP:
                # Protocol 0 drops an abandoned mark this way too.
                if stack:
                    stack.pop()
                elif marks:
                    stack = marks.pop()
                else:
                    self._fail("takes more values than it made")
            elif code == op.BUILD:
                state = stack.pop()
                stack[-1] = rebuilder.build(stack[-1], state)
                held += 112
            elif code == op.STOP:
                source.pos = pos
                if marks or len(stack) != 1:
                    self._fail("ends with loose values")
                self._charge(held)
                return stack[0]
            else:
                held += 120
                pos = self._rare(code, stack, pos)
                buf, low, valid = source.buf, source.low, source.valid

    def _fail(self, problem: str) -> NoReturn:
        raise FormatError(self._in.uri, f"its pickle {problem}", "download or save the file again")

    def _charge(self, nbytes: int) -> None:
        self._held += nbytes
        if self._held > MAX_HELD_NBYTES:
            self._fail(f"describes more than fits {MAX_HELD_NBYTES} bytes")

    # The memo.

    def _put(self, index: int, value: Any) -> None:
        if index < len(self._memo):
            self._memo[index] = value
        elif index == len(self._memo):
            self._memo.append(value)
            self._charge(8)
        else:
            self._charge(100)
            self._sparse_memo[index] = value

    def _get(self, index: int) -> Any:
        if 0 <= index < len(self._memo):
            return self._memo[index]
        if index not in self._sparse_memo:
            self._fail(f"asks for the value {index}, which it never kept")
        return self._sparse_memo[index]

    # Text and names.

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise FormatError(self._in.uri, "its pickle holds text that is not UTF-8", "download or save the file again") from error

    def _global(self, module: bytes, name: bytes) -> Global:
        return self._name(self._text(module), self._text(name))

    def _name(self, module: str, name: str) -> Global:
        known = self._globals.get((module, name))
        if known is None:
            self._charge(300 + len(module) + len(name))
            known = self._globals[module, name] = Global(module, name)
        return known

    def _integer(self, digits: bytes) -> int:
        digits = digits.removesuffix(b"L").strip()
        if len(digits) > _MAX_DIGITS or not digits.lstrip(b"-+").isdigit():
            self._fail("holds a number that is none")
        try:
            return int(digits)
        except ValueError as error:
            raise FormatError(self._in.uri, "its pickle holds a number that is none", "download or save the file again") from error

    # Containers.

    def _append(self, target: Any, items: list[Any]) -> None:
        if type(target) is list:
            target.extend(items)
        elif type(target) is Opaque:
            if target.elements is None:
                target.elements = []
            target.elements.extend(items)
        else:
            self._fail("appends to something that is no list")

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if len(items) % 2:
            self._fail("sets a key without a value")
        if type(target) is Table:
            target.pairs.extend(items)
        elif type(target) is Opaque:
            if target.table is None:
                target.table = Table()
            target.table.pairs.extend(items)
        else:
            self._fail("sets items of something that is no dictionary")

    def _close(self, code: int, stack: list[Any], items: list[Any]) -> None:
        """The rarer opcodes that take what lies above a mark."""
        if code in (op.SETITEMS, op.APPENDS, op.ADDITEMS):
            if not stack:
                self._fail("takes more values than it made")
            if code == op.SETITEMS:
                self._set_items(stack[-1], items)
            else:
                self._append(stack[-1], items)
        elif code in (op.LIST, op.FROZENSET):
            stack.append(items)
        elif code == op.DICT:
            table = Table()
            self._set_items(table, items)
            stack.append(table)
        elif code == op.OBJ:
            if not items:
                self._fail("makes an object of no class")
            stack.append(Opaque(items[0], tuple(items[1:])))
        # POP_MARK: the values are dropped.

    def _rare(self, code: int, stack: list[Any], pos: int) -> int:
        """The remaining opcodes; gives the position to go on at."""
        source, buf = self._in, self._in.buf
        if code == op.PROTO:
            if buf[pos] > _HIGHEST_PROTOCOL:
                self._fail(f"is of protocol {buf[pos]}, which does not exist")
            return pos + 1
        if code == op.FRAME:
            if _U64(buf, pos)[0] > source.remaining(pos + 8):
                self._fail("has a frame that is longer than the file")
            return pos + 8
        if code in (op.NEWOBJ, op.NEWOBJ_EX):
            if code == op.NEWOBJ_EX:
                stack.pop()
            args = stack.pop()
            stack[-1] = self._new(stack[-1], args)
        elif code == op.STACK_GLOBAL:
            name, module = stack.pop(), stack.pop()
            if type(name) is not str or type(module) is not str:
                self._fail("names a class by something that is no text")
            stack.append(self._name(module, name))
        elif code in (op.LONG1, op.LONG4):
            width = 1 if code == op.LONG1 else 4
            nbytes = buf[pos] if width == 1 else _U32(buf, pos)[0]
            raw = source.take(pos + width, nbytes) if nbytes <= 256 else None
            if raw is None:
                self._fail(f"holds a number of {nbytes} bytes")
            stack.append(int.from_bytes(raw, "little", signed=True))
            return source.pos
        elif code == op.EMPTY_SET:
            stack.append([])
        elif code == op.DUP:
            stack.append(stack[-1])
        elif code in (op.GET, op.PUT, op.INT, op.LONG, op.FLOAT, op.STRING, op.UNICODE):
            line = source.line(pos)
            self._by_line(code, stack, line)
            return source.pos
        elif code in (op.EXT1, op.EXT2, op.EXT4):
            # A class registered under a number: known to the program that wrote the file alone.
            stack.append(self._name("copyreg", "extension"))
            return pos + {op.EXT1: 1, op.EXT2: 2, op.EXT4: 4}[code]
        elif code in (op.PERSID, op.NEXT_BUFFER, op.READONLY_BUFFER):
            self._fail("refers to something outside it that is no storage")
        else:
            self._fail(f"holds the unknown opcode {code}")
        return pos

    def _by_line(self, code: int, stack: list[Any], line: bytes) -> None:
        """The opcodes of protocol 0, whose operand is a line of text."""
        self._charge(2 * len(line))
        if code == op.GET:
            stack.append(self._get(self._integer(line)))
        elif code == op.PUT:
            index = self._integer(line)
            if index < 0:
                self._fail("keeps a value under a negative number")
            self._put(index, stack[-1])
        elif code == op.INT and line in (b"00", b"01"):
            stack.append(line == b"01")
        elif code in (op.INT, op.LONG):
            stack.append(self._integer(line))
        elif code == op.FLOAT:
            try:
                stack.append(float(line))
            except ValueError as error:
                raise FormatError(self._in.uri, "its pickle holds a number that is none", "download or save the file again") from error
        elif code == op.STRING:
            if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
                self._fail("holds text without quotes")
            stack.append(line[1:-1])
        else:
            stack.append(self._raw_unicode(line))

    def _raw_unicode(self, line: bytes) -> str:
        try:
            return line.decode("raw-unicode-escape")
        except UnicodeDecodeError as error:
            raise FormatError(self._in.uri, "its pickle holds broken text", "download or save the file again") from error

    def _new(self, made_by: Any, args: Any) -> Any:
        """``cls.__new__(cls, *args)``: the containers and parameters that are known, else an inert object."""
        if type(made_by) is Global and made_by.path in ("torch.nn.parameter.Parameter", "collections.OrderedDict", "collections.Counter"):
            return self._rebuilder.call(made_by, args)
        return Opaque(made_by, args)
