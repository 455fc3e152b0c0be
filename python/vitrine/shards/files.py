# SPDX-License-Identifier: MIT
"""One shard: a safetensors file, memory-mapped."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vitrine.error import Error

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # NumPy has no bfloat16: its bits
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
_STORED = {"F32": "f32", "F16": "f16", "BF16": "bf16", "I8": "int8"}
_TABLES = ("ids", "offsets", "documents", "begins", "repeated")
_MOST_HEADER_BYTES = 100_000_000


class TensorEntry(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    begin: int  # byte in the file


def widen(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """float32 of bfloat16's bits, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


class Shard:
    """Tensors of a shard by name, read-only. Arrays share the mapping, which lives as long as one of them.

    `shard[name]` is float32 for a site stored as bf16 or int8; `raw(name)` has bf16's bits as uint16 and int8 without
    its scales.
    """

    def __init__(self, path: Path | str, tables: Sequence[str] = _TABLES) -> None:
        """Raises Error for a file that is missing, cut off, not safetensors, or without one of `tables`."""
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise Error(f"{self.path}: missing: expected a shard of the manifest") from None
        except (OSError, ValueError) as error:
            raise Error(f"{self.path}: cannot be read: {error}") from None
        self._entries = _read_header(self.path, self._map, tables)

    @property
    def sites(self) -> list[str]:
        return [name for name in self._entries if name not in _TABLES and not _is_index(name)]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def shape(self, name: str) -> tuple[int, ...]:
        return self._entry(name).shape

    def stored(self, name: str) -> str:
        """ "f32", "f16", "bf16" or "int8" of a site."""
        dtype = self._entry(name).dtype
        return _STORED.get(dtype, dtype)

    def raw(self, name: str) -> npt.NDArray[Any]:
        """The stored numbers; bf16 as uint16."""
        entry = self._entry(name)
        return np.ndarray(entry.shape, DTYPES[entry.dtype], self._map, entry.begin)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        values = self.raw(name)
        if self._entry(name).dtype == "BF16":
            return widen(values)
        return self._scaled(name, values, slice(None)) if self._entry(name).dtype == "I8" else values

    def take(self, name: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Some rows of a site, copied as float32."""
        values = self.raw(name)[rows]
        if self._entry(name).dtype == "I8":
            return self._scaled(name, values, rows)
        return widen(values) if self._entry(name).dtype == "BF16" else values.astype(np.float32, copy=False)

    def _scaled(self, name: str, values: npt.NDArray[Any], rows: Any) -> npt.NDArray[np.float32]:
        scales: npt.NDArray[np.float32] = self.raw(f"{name}.scales")
        if scales.shape != self.shape(name)[:1]:
            raise Error(f"{self.path}: damaged: {name}.scales has shape {scales.shape}")
        floats: npt.NDArray[np.float32] = values.astype(np.float32) * scales[rows].reshape(-1, *[1] * (values.ndim - 1))
        return floats

    def window_rows(self, site: str) -> npt.NDArray[np.int64]:
        """First row of each window at a site, then the number of rows: [W+1]."""
        name = f"{site}.offsets" if f"{site}.offsets" in self else "offsets"
        found: npt.NDArray[np.int64] = self[name]
        return found

    def row_positions(self, site: str) -> npt.NDArray[np.int64]:
        """Position in its document of each row at a site: [R]."""
        starts = self.window_rows(site)
        counts = np.diff(starts)
        if f"{site}.positions" in self:
            within = self[f"{site}.positions"]
        else:
            within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        found: npt.NDArray[np.int64] = np.repeat(self["begins"], counts) + within
        return found

    def will_need(self, name: str, first: int, last: int) -> None:
        """Tells the kernel that the rows [first, last) of a site are read soon."""
        entry = self._entry(name)
        row = _row_bytes(entry)
        begin = (entry.begin + first * row) // mmap.PAGESIZE * mmap.PAGESIZE
        end = min(entry.begin + last * row, len(self._map))
        if hasattr(self._map, "madvise") and end > begin:
            self._map.madvise(mmap.MADV_WILLNEED, begin, end - begin)

    def _entry(self, name: str) -> TensorEntry:
        entry = self._entries.get(name)
        if entry is None:
            raise Error(f"{self.path}: missing {name!r}: it has {', '.join(self.sites)}")
        return entry


def _is_index(name: str) -> bool:
    return name.endswith((".positions", ".offsets", ".scales"))


def _row_bytes(entry: TensorEntry) -> int:
    return math.prod(entry.shape[1:]) * DTYPES[entry.dtype].itemsize


def _read_header(path: Path, data: mmap.mmap, tables: Sequence[str]) -> dict[str, TensorEntry]:
    def damaged(reason: str) -> Error:
        return Error(f"{path}: damaged: {reason}; `vitrine corpus --repair` makes it again")

    size = len(data)
    length = int.from_bytes(data[:8], "little") if size >= 8 else size
    if length > min(size - 8, _MOST_HEADER_BYTES):
        raise damaged(f"its header has {length} bytes and the file {size}")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except (ValueError, RecursionError):
        raise damaged("its header is not JSON") from None
    if not isinstance(header, dict):
        raise damaged("its header is not an object")
    entries = {}
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (begin, end) = tensor["dtype"], tuple(tensor["shape"]), tensor["data_offsets"]
            whole = all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end))
            whole = whole and len(shape) <= 8 and math.prod(max(n, 1) for n in shape) < 1 << 56
            fits = whole and begin + math.prod(shape) * DTYPES[dtype].itemsize == end <= size - 8 - length
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise damaged(f"the type, shape and place of {name!r} do not agree with the file")
        entries[name] = TensorEntry(dtype, shape, 8 + length + begin)
    missing = [name for name in tables if name not in entries]
    if missing:
        raise damaged(f"it has no {missing[0]!r}")
    return entries
