# SPDX-License-Identifier: MIT
"""What arguments may be, for annotations."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vitrine._vitrine import Capture, Edit

Prompt = Union[str, Sequence[int], npt.NDArray[np.integer[Any]]]
"""A text, or the token ids of one."""

Prompts = Union[Sequence[str], Sequence[Sequence[int]], npt.NDArray[np.integer[Any]]]
"""Several texts, or token ids of each; an integer array of two axes."""

Tokens = Union[str, int, Sequence[Union[str, int]], npt.NDArray[np.integer[Any]]]
"""Token ids, or texts that are one token each."""

Indices = Union[int, slice, range, Sequence[Union[int, slice, range]], npt.NDArray[np.integer[Any]]]
"""Indices along an axis; negative ones count from the end."""

Layers = Union[Indices, Literal["embed", "logits"], Sequence[Union[int, str]]]
"""Rows of the lens: layers from 0, "embed", "logits"."""

Logits = Literal["all", "last", "none"]
"""Tokens whose logits a pass returns."""

Captured = Union[str, "Capture", Sequence[Union[str, "Capture"]]]
"""Sites to capture."""

Edits = Union["Edit", Sequence["Edit"]]
"""Changes, in the order in which they apply."""

Values = npt.NDArray[np.float32]
"""Activations that a function edit may change."""

Replacement = Union[str, int, npt.ArrayLike]
""" "zero", "mean", "delete", a token, or embeddings."""

Progress = Callable[[int, int, str], object]
"""Called as progress(done, total, label); total is 0 if it is unknown."""

Path = Union[str, "os.PathLike[str]"]
"""A path in the file system."""
