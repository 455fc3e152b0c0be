# SPDX-License-Identifier: MIT
"""Safetensors files of float32 arrays, as `vitrine convert` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def read(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All arrays of a file."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    data = np.fromfile(path, np.float32, offset=8 + size) if size % 4 == 0 else None
    if data is None or any(entry["dtype"] != "F32" for entry in header.values()):
        raise ValueError(f"{path} is not a file of aligned float32 arrays")
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        found[name] = data[begin // 4 : end // 4].reshape(entry["shape"])
    return found


def write(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """A file of arrays, as float32."""
    header: dict[str, Any] = {}
    offset = 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [offset, offset + 4 * array.size]}
        offset += 4 * array.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            np.ascontiguousarray(array, np.float32).tofile(file)
