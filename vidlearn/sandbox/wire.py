"""What travels between the grader and a student's worker: a header and tagged values, nothing that can run.

No pickle, no JSON, no ``.npy``, in either direction. A frame is::

    magic (4 bytes) · kind (u8) · number (u64) · length of the body (u64) · body

and a body is a row of values, each a tag and fixed fields: None, bool, 64-bit integer, float, short text, bytes, list,
tuple, array and NumPy scalar of a known dtype, and *foreign* (the name of a type that cannot travel). Every length is
checked against what is really there before anything of that length is made, so arbitrary bytes can do no more than
raise `WireError`.

This file is imported on both sides, and on the student's side stands alone: it needs NumPy and nothing of vidlearn.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

__all__ = ["HEADER", "Foreign", "WireError", "decode", "encode", "header", "open_header"]

MAGIC = b"VLW1"
HEADER = struct.Struct("<4sBQQ")
MAX_BODY = 1 << 28  # 256 MiB: far above any exercise, far below what would hurt the grader
MAX_WORDS = 1 << 17  # of a body that holds no array: what a worker says of a file, or of its cells
MAX_TEXT = 1 << 16
MAX_SOURCE = 1 << 24  # a submission's own bytes, grader to worker
MAX_VALUES = 4096  # values in one body, nested ones counted
MAX_DEPTH = 8
MAX_NDIM = 8
MAX_SIZE = 1 << 31

DTYPES = tuple(
    np.dtype(name)
    for name in ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16")
)
_CODES = {dtype.str: code for code, dtype in enumerate(DTYPES)}

_NONE, _FALSE, _TRUE, _INT, _FLOAT, _TEXT, _BYTES, _LIST, _TUPLE, _ARRAY, _SCALAR, _FOREIGN = range(12)
_WRITEABLE, _STRIDED, _FORTRAN = 1, 2, 4

_U8, _U32, _I64, _F64 = (struct.Struct(code) for code in ("<B", "<I", "<q", "<d"))
_ARRAY_HEAD = struct.Struct("<BBBB")  # tag, dtype, flags, ndim


class WireError(Exception):
    """The bytes are not a frame of ours, or the value cannot be put in one."""


class Foreign:
    """Stands for a returned object that cannot travel; its class carries the original type's name.

    A judge that asks "is this an array of numbers?" gets the honest answer, no, and can say what came instead.

    Examples
    --------
    >>> type(Foreign.of("AlwaysEqual")).__name__
    'AlwaysEqual'
    """

    @staticmethod
    def of(name: str) -> Foreign:
        return type(name, (Foreign,), {})()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object>"


def header(kind: int, number: int, length: int) -> bytes:
    """The header of a frame."""
    return HEADER.pack(MAGIC, kind, number, length)


def open_header(raw: bytes, limit: int = MAX_BODY) -> tuple[int, int, int]:
    """Kind, number and body length of a frame; `WireError` if it is not one, or is longer than `limit`."""
    if len(raw) != HEADER.size:
        raise WireError("short header")
    magic, kind, number, length = HEADER.unpack(raw)
    if magic != MAGIC:
        raise WireError("not a frame")
    if length > limit:
        raise WireError(f"a body of {length} bytes, at most {limit} are accepted")
    return kind, number, length


def encode(*values: Any) -> bytes:
    """A body from values; `WireError` where one cannot travel.

    Examples
    --------
    >>> decode(encode(None, True, 3, 0.5, "text", [1, (2,)]))
    [None, True, 3, 0.5, 'text', [1, (2,)]]
    """
    out: list[bytes] = []
    budget = [MAX_VALUES]
    for value in values:
        _put(value, out, budget, 0)
    return b"".join(out)


def _put(value: Any, out: list[bytes], budget: list[int], depth: int) -> None:
    budget[0] -= 1
    if budget[0] < 0:
        raise WireError("too many values")
    if depth > MAX_DEPTH:
        raise WireError("nested too deeply")
    kind = type(value)
    if kind is np.ndarray:
        _put_array(value, out, _ARRAY)
    elif value is None:
        out.append(bytes([_NONE]))
    elif kind is bool:
        out.append(bytes([_TRUE if value else _FALSE]))
    elif kind is int:
        if not -(1 << 63) <= value < 1 << 63:
            raise WireError("an integer beyond 64 bits")
        out += (bytes([_INT]), _I64.pack(value))
    elif kind is float:
        out += (bytes([_FLOAT]), _F64.pack(value))
    elif kind is str:
        _put_bytes(value.encode("utf-8", "replace")[:MAX_TEXT], out, _TEXT)
    elif kind is bytes:
        if len(value) > MAX_SOURCE:
            raise WireError("too many bytes")
        _put_bytes(value, out, _BYTES)
    elif kind in (list, tuple):
        out += (bytes([_LIST if kind is list else _TUPLE]), _U32.pack(len(value)))
        for item in value:
            _put(item, out, budget, depth + 1)
    elif isinstance(value, Foreign):
        _put_bytes(type(value).__name__.encode("utf-8", "replace")[:80], out, _FOREIGN)
    elif kind.__module__ == "numpy" and isinstance(value, np.generic):
        _put_array(np.asarray(value), out, _SCALAR)
    else:
        raise WireError(f"a value of type {kind.__name__} cannot travel")


def _put_bytes(raw: bytes, out: list[bytes], tag: int) -> None:
    out += (bytes([tag]), _U32.pack(len(raw)), raw)


def _put_array(array: np.ndarray, out: list[bytes], tag: int) -> None:
    little = array.dtype.newbyteorder("<")
    code = _CODES.get(little.str)
    if code is None or array.ndim > MAX_NDIM:
        raise WireError(f"an array of dtype {array.dtype} with {array.ndim} axes cannot travel")
    flags = _WRITEABLE * array.flags.writeable
    if not array.flags.c_contiguous:
        flags |= _FORTRAN if array.flags.f_contiguous else _STRIDED
    raw = array.astype(little, copy=False).tobytes()  # always in C order
    out.append(_ARRAY_HEAD.pack(tag, code, flags, array.ndim) + struct.pack(f"<{array.ndim}Q", *array.shape))
    out.append(raw)


def decode(body: bytes, *, layout: bool = False) -> list[Any]:
    """The values of a body.

    `layout` rebuilds each array with the memory layout and the read-only mark it was sent with, so that a student's
    function meets the array that the judge made (a slice with gaps stays one). The grader leaves it off: what comes
    back is always a fresh, contiguous, writeable array over bytes of its own.
    """
    reader = _Reader(body, layout)
    values = []
    while reader.at < len(body):
        values.append(reader.value(0))
    return values


class _Reader:
    def __init__(self, body: bytes, layout: bool) -> None:
        self.body, self.layout, self.at, self.left = body, layout, 0, MAX_VALUES

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.body):
            raise WireError("the body ends too early")
        raw, self.at = self.body[self.at : end], end
        return raw

    def number(self, form: struct.Struct) -> Any:
        return form.unpack(self.take(form.size))[0]

    def value(self, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise WireError("too many values")
        if depth > MAX_DEPTH:
            raise WireError("nested too deeply")
        tag = self.number(_U8)
        if tag in (_ARRAY, _SCALAR):
            return self.array(tag)
        if tag == _NONE:
            return None
        if tag in (_FALSE, _TRUE):
            return tag == _TRUE
        if tag == _INT:
            return self.number(_I64)
        if tag == _FLOAT:
            return self.number(_F64)
        if tag in (_TEXT, _BYTES, _FOREIGN):
            raw = self.take(self.number(_U32))
            if tag == _BYTES:
                return raw
            text = raw[:MAX_TEXT].decode("utf-8", "replace")
            return text if tag == _TEXT else Foreign.of("".join(c for c in text if c.isprintable())[:80] or "unnamed")
        if tag in (_LIST, _TUPLE):
            count = self.number(_U32)
            if count > self.left:
                raise WireError("too many values")
            items = [self.value(depth + 1) for _ in range(count)]
            return items if tag == _LIST else tuple(items)
        raise WireError(f"unknown tag {tag}")

    def array(self, tag: int) -> Any:
        code, flags, ndim = self.take(3)
        if code >= len(DTYPES) or ndim > MAX_NDIM or (tag == _SCALAR and ndim):
            raise WireError("not an array of ours")
        shape = struct.unpack(f"<{ndim}Q", self.take(8 * ndim))
        dtype = DTYPES[code]
        extent = dtype.itemsize  # Python integers: a product that cannot overflow
        for size in shape:
            extent *= max(size, 1)
        if extent > MAX_SIZE:
            raise WireError("an array too large")
        raw = self.take(0 if 0 in shape else extent)
        if code == 0 and raw.translate(None, b"\0\1"):
            raise WireError("a bool that is neither true nor false")
        array = np.frombuffer(raw, dtype).reshape(shape)
        if tag == _SCALAR:
            return array[()]
        if not self.layout:
            return array.copy()
        if flags & _STRIDED and ndim:
            roomy = np.empty((*shape[:-1], 2 * shape[-1]), dtype)
            roomy[..., ::2] = array
            array = roomy[..., ::2]
        else:
            array = array.copy(order="F" if flags & _FORTRAN else "C")
        array.flags.writeable = bool(flags & _WRITEABLE)
        return array
