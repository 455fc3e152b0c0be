# SPDX-License-Identifier: MIT
"""Slices and small functions of tensors."""

from __future__ import annotations

from typing import Any, Union

import numpy as np
import numpy.typing as npt
import torch

from vitrine.error import Error

SliceInput = Union[None, int, slice, "tuple[int | None, ...]", "list[int]", torch.Tensor, "npt.NDArray[Any]"]
"""None is all; an int drops the axis; a tuple is the arguments of slice(); a list, array or tensor are indices."""


class Slice:
    """What to take along one axis. `mode`: "identity", "int", "slice" or "array"."""

    slice: Any
    mode: str

    def __init__(self, input_slice: SliceInput = None) -> None:
        if input_slice is None:
            self.slice, self.mode = slice(None), "identity"
        elif isinstance(input_slice, tuple):
            self.slice, self.mode = slice(*input_slice), "slice"
        elif isinstance(input_slice, slice):
            self.slice, self.mode = input_slice, "slice"
        elif isinstance(input_slice, int):
            self.slice, self.mode = input_slice, "int"
        elif isinstance(input_slice, (list, torch.Tensor, np.ndarray)):
            self.slice, self.mode = to_numpy(input_slice), "array"
        else:
            raise ValueError(f"Invalid input_slice {input_slice}")

    def apply(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """The part of a tensor along the axis `dim`."""
        index: list[Any] = [slice(None)] * tensor.ndim
        index[dim] = self.slice
        return tensor[tuple(index)]

    def indices(self, max_ctx: int | None = None) -> npt.NDArray[np.int64]:
        """The indices it takes of an axis of `max_ctx` elements."""
        if self.mode == "int":
            return np.array([self.slice], dtype=np.int64)
        if max_ctx is None:
            raise ValueError("max_ctx must be specified if slice is not an integer")
        return np.arange(max_ctx, dtype=np.int64)[self.slice]

    def __repr__(self) -> str:
        return f"Slice: {self.slice} Mode: {self.mode} "

    @classmethod
    def unwrap(cls, slice_input: Slice | SliceInput) -> Slice:
        """A Slice that keeps the axis: an int becomes a list of one."""
        if isinstance(slice_input, Slice):
            return slice_input
        return Slice([slice_input] if isinstance(slice_input, int) else slice_input)


def to_slice(value: Slice | SliceInput) -> Slice:
    """The Slice of an argument that may be one already."""
    return value if isinstance(value, Slice) else Slice(value)


def to_numpy(tensor: Any) -> npt.NDArray[Any]:
    """A NumPy array of a tensor, list, tuple or number; bfloat16 becomes float32."""
    if isinstance(tensor, np.ndarray):
        return tensor
    if isinstance(tensor, torch.Tensor):
        values = tensor.detach().cpu()
        numbers: npt.NDArray[Any] = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
        return numbers
    if isinstance(tensor, (list, tuple, int, float, bool, str)):
        return np.array(tensor)
    raise ValueError(f"Input to to_numpy has invalid type: {type(tensor)}")


def get_corner(tensor: Any, n: int = 3) -> Any:
    """The first `n` elements along every axis."""
    return tensor[tuple(slice(n) for _ in range(tensor.ndim))]


def remove_batch_dim(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without its first axis if that has one element."""
    return tensor.squeeze(0) if tensor.shape[0] == 1 else tensor


def transpose(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with its last two axes exchanged."""
    return tensor.transpose(-1, -2)


def is_square(x: torch.Tensor) -> bool:
    """Whether it is a square matrix."""
    return x.ndim == 2 and x.shape[0] == x.shape[1]


def is_lower_triangular(x: torch.Tensor) -> bool:
    """Whether it is a square matrix with zeros above the diagonal."""
    return is_square(x) and bool(x.equal(x.tril()))


def get_cumsum_along_dim(tensor: torch.Tensor, dim: int, reverse: bool = False) -> torch.Tensor:
    """Sums of all elements up to each one; with `reverse`, from each one to the end."""
    if reverse:
        return tensor.flip(dims=(dim,)).cumsum(dim=dim).flip(dims=(dim,))
    return tensor.cumsum(dim=dim)


def get_offset_position_ids(past_kv_pos_offset: int, attention_mask: torch.Tensor) -> torch.Tensor:
    """Positions [batch, pos] of the tokens after the first `past_kv_pos_offset`, padding not counted."""
    positions = attention_mask.cumsum(dim=1) - 1
    return positions.clamp(min=0)[:, past_kv_pos_offset:]


def repeat_along_head_dimension(tensor: torch.Tensor, n_heads: int, clone_tensor: bool = True) -> torch.Tensor:
    """[batch, pos, d] to [batch, pos, n_heads, d]."""
    repeated = tensor.unsqueeze(-2).expand(*tensor.shape[:-1], n_heads, tensor.shape[-1])
    return repeated.clone() if clone_tensor else repeated


def filter_dict_by_prefix(dictionary: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose keys begin with "prefix.", without it."""
    start = prefix if prefix.endswith(".") else prefix + "."
    return {key[len(start) :]: value for key, value in dictionary.items() if key.startswith(start)}


def check_structure(t1: torch.Tensor, t2: torch.Tensor, *, verbose: bool = False) -> None:
    """Prints whether two matrices order neighbouring rows and columns in the same way."""
    if t1.ndim != 2 or t1.shape != t2.shape:
        raise Error(f"expected two matrices of one shape, found {tuple(t1.shape)} and {tuple(t2.shape)}")
    differences = {}
    for axis, a, b in (("row", t1, t2), ("column", t1.T, t2.T)):
        differences[axis] = [i for i in range(len(a) - 1) if bool((a[i].ge(a[i + 1]) != b[i].ge(b[i + 1])).any())]
        if verbose:
            for i in differences[axis]:
                print(f"{axis}s {i}:{i + 1} differ: {a[i : i + 2].tolist()} and {b[i : i + 2].tolist()}")
    if not any(differences.values()):
        print("PASSED")
    for axis, found in differences.items():
        if found:
            print(f"{axis} mismatch: {found}")


def get_nested_attr(obj: Any, attr_str: str) -> Any:
    """The attribute at the end of a path with dots."""
    for name in attr_str.split("."):
        obj = getattr(obj, name)
    return obj


def set_nested_attr(obj: Any, attr_str: str, value: Any) -> None:
    """Sets the attribute at the end of a path with dots."""
    *path, last = attr_str.split(".")
    setattr(get_nested_attr(obj, ".".join(path)) if path else obj, last, value)
