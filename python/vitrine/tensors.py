# SPDX-License-Identifier: MIT
"""Arrays of other libraries, for the modules with their interfaces."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Tokenizer
from vitrine.error import Error


def to_numpy(values: Any) -> npt.NDArray[Any]:
    """A tensor of torch, on any device, or anything NumPy reads, as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) in ("torch.bfloat16", "torch.float16"):
            values = values.float()
        return np.asarray(values.numpy())
    return np.asarray(values)


def to_floats(values: Any, name: str) -> npt.NDArray[np.float32]:
    """Floating-point numbers as float32. Error for integers, which are ids elsewhere."""
    array = to_numpy(values)
    if not np.issubdtype(array.dtype, np.floating):
        raise Error(f"invalid {name} of type {array.dtype}: expected floating-point numbers")
    return np.ascontiguousarray(array, np.float32)


def to_ids(values: Any, name: str) -> npt.NDArray[np.int64]:
    """Token ids as int64."""
    array = to_numpy(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise Error(f"invalid {name} of type {array.dtype}: expected token ids")
    return array.astype(np.int64)


def to_tensor(array: npt.NDArray[Any]) -> Any:
    """A tensor of torch where it is installed, otherwise the array."""
    if importlib.util.find_spec("torch") is None:
        return array
    import torch

    return torch.from_numpy(np.array(array))


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, without the tokens a tokenizer of transformers puts around it."""
    if isinstance(tokenizer, Tokenizer):
        return tokenizer.encode(text)
    return [int(token) for token in tokenizer.encode(text, add_special_tokens=False)]


def token_texts(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text of each token; a tokenizer of transformers spells them its own way."""
    if isinstance(tokenizer, Tokenizer):
        return [tokenizer.token(int(token)) for token in ids]
    return [str(token) for token in tokenizer.convert_ids_to_tokens([int(token) for token in ids])]


def refuse(given: dict[str, Any], where: str, instead: str = "") -> None:
    """Error that names the first argument of `given` that is not None."""
    for name, value in given.items():
        if value is not None:
            raise Error(f"unknown option {name} of {where}" + (f": {instead}" if instead else ""))
