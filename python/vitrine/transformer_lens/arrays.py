# SPDX-License-Identifier: MIT
"""Arrays of the engine as tensors, and back."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vitrine._vitrine import RunBatch

Values = npt.NDArray[np.float32]


def to_torch(values: Values, dtype: torch.dtype, device: Any) -> torch.Tensor:
    """The same memory as a tensor where type and device allow it."""
    return torch.from_numpy(values).to(device=device, dtype=dtype)


def to_engine(tensor: torch.Tensor) -> Values:
    """A float32 array on the CPU."""
    values: Values = tensor.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
    return values


def batch_rows(batch: RunBatch, site: str) -> Values:
    """A site of all sequences, which have one length: [B, P, ...], of a map [B, H, P, N]."""
    if len(batch) == 1:
        return _writable(batch[0][site])[None]
    if site.endswith(("hook_attn_scores", "hook_pattern")):
        return np.stack([batch[i][site] for i in range(len(batch))])
    rows = batch.rows(site)
    return _writable(rows).reshape(len(batch), -1, *rows.shape[1:])


def batch_logits(batch: RunBatch) -> Values:
    """Logits of all sequences, which have one length: [B, P, V]."""
    if len(batch) == 1:
        return _writable(batch[0].logits)[None]
    return np.stack([batch[i].logits for i in range(len(batch))])


def _writable(values: Values) -> Values:
    """The memory of a run that has no other reader, as a writable array that keeps it alive."""
    if values.size == 0:
        return values.copy()
    memory = (ctypes.c_float * values.size).from_address(values.ctypes.data)
    memory.owner = values  # type: ignore[attr-defined]
    return np.ctypeslib.as_array(memory).reshape(values.shape)
