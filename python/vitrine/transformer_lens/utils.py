# SPDX-License-Identifier: MIT
"""The functions that users of TransformerLens take from transformer_lens.utils."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

import torch

from vitrine.error import Error
from vitrine.transformer_lens.factored_matrix import FactoredMatrix, composition_scores
from vitrine.transformer_lens.names import get_act_name
from vitrine.transformer_lens.predictions import (
    lm_accuracy,
    lm_cross_entropy_loss,
    logits_to_df,
    sample_logits,
    test_prompt,
)
from vitrine.transformer_lens.tensors import (
    Slice,
    SliceInput,
    check_structure,
    filter_dict_by_prefix,
    get_corner,
    get_cumsum_along_dim,
    get_nested_attr,
    get_offset_position_ids,
    is_lower_triangular,
    is_square,
    remove_batch_dim,
    repeat_along_head_dimension,
    set_nested_attr,
    to_numpy,
    transpose,
)
from vitrine.transformer_lens.texts import (
    get_attention_mask,
    get_input_with_manually_prepended_bos,
    get_tokens_with_bos_removed,
    keep_single_column,
    tokenize_and_concatenate,
)

__all__ = [
    "USE_DEFAULT_VALUE",
    "LocallyOverridenDefaults",
    "Slice",
    "SliceInput",
    "check_structure",
    "composition_scores",
    "filter_dict_by_prefix",
    "gelu_fast",
    "gelu_new",
    "get_act_name",
    "get_attention_mask",
    "get_corner",
    "get_cumsum_along_dim",
    "get_device",
    "get_input_with_manually_prepended_bos",
    "get_matrix_corner",
    "get_nested_attr",
    "get_offset_position_ids",
    "get_tokens_with_bos_removed",
    "is_library_available",
    "is_lower_triangular",
    "is_square",
    "keep_single_column",
    "lm_accuracy",
    "lm_cross_entropy_loss",
    "logits_to_df",
    "override_or_use_default_value",
    "remove_batch_dim",
    "repeat_along_head_dimension",
    "sample_logits",
    "set_nested_attr",
    "solu",
    "test_prompt",
    "to_numpy",
    "tokenize_and_concatenate",
    "transpose",
]

USE_DEFAULT_VALUE = None
"""An argument's value that means the model's own."""


def override_or_use_default_value(default_flag: Any, override: Any = None) -> Any:
    """`override` unless it is None."""
    return default_flag if override is None else override


class LocallyOverridenDefaults:
    """A context in which a model's `prepend_bos` and `padding_side` have other values; None leaves one as it is."""

    _ALLOWED = {"prepend_bos": (None, True, False), "padding_side": (None, "left", "right")}

    def __init__(self, model: Any, **overrides: Any) -> None:
        for name in overrides:
            if name not in self._ALLOWED:
                raise AssertionError(
                    f"{name} is not a valid parameter to override. Valid parameters are {list(self._ALLOWED)}."
                )
        self.model = model
        self.overrides = overrides
        self._restore = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as entered:
            for name, value in self.overrides.items():
                if name == "padding_side" and self.model.tokenizer is None:
                    continue
                if value not in self._ALLOWED[name]:
                    raise AssertionError(f"{name} must be one of {list(self._ALLOWED[name])}, but got {value}.")
                path = "cfg.default_prepend_bos" if name == "prepend_bos" else "tokenizer.padding_side"
                entered.enter_context(_replaced(self.model, path, value))
            self._restore = entered.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore.close()


@contextmanager
def _replaced(model: Any, path: str, value: Any) -> Iterator[None]:
    before = get_nested_attr(model, path)
    set_nested_attr(model, path, override_or_use_default_value(before, value))
    try:
        yield
    finally:
        set_nested_attr(model, path, before)


def get_device() -> str:
    """ "cuda" where torch finds one, otherwise "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def is_library_available(name: str) -> bool:
    """Whether a module of this name can be imported."""
    return name in sys.modules or importlib.util.find_spec(name) is not None


def get_matrix_corner(matrix: FactoredMatrix, n: int = 3) -> Any:
    """The first `n` elements of a FactoredMatrix along every axis."""
    return matrix[tuple(slice(n) for _ in range(matrix.ndim))].AB


def gelu_new(input: torch.Tensor) -> torch.Tensor:
    """GPT-2's activation function: GELU by its tanh approximation."""
    return 0.5 * input * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (input + 0.044715 * input.pow(3.0))))


def gelu_fast(input: torch.Tensor) -> torch.Tensor:
    """gelu_new with the constant 0.7978845608 for sqrt(2 / pi)."""
    return 0.5 * input * (1.0 + torch.tanh(input * 0.7978845608 * (1.0 + 0.044715 * input * input)))


def solu(input: torch.Tensor) -> torch.Tensor:
    """x * softmax(x)"""
    return input * input.softmax(dim=-1)


_REFUSED = {
    "download_file_from_hf": "Nothing is downloaded: `vitrine pull NAME` fetches a checkpoint",
    "get_dataset": "Nothing is downloaded: load it with datasets.load_dataset",
    "clear_huggingface_cache": "The Hugging Face cache is not ours to empty: `hf cache` does that",
    "get_tokenizer_with_bos": "Tokenizers add no token here: to_tokens(prepend_bos=True) does",
    "print_gpu_mem": "torch.cuda.memory_allocated() tells torch's memory, Model.weight_bytes the weights'",
    "calc_fan_in_and_fan_out": "Models are not trained here",
    "init_xavier_uniform_": "Models are not trained here: use torch.nn.init",
    "init_xavier_normal_": "Models are not trained here: use torch.nn.init",
    "init_kaiming_uniform_": "Models are not trained here: use torch.nn.init",
    "init_kaiming_normal_": "Models are not trained here: use torch.nn.init",
}


def __getattr__(name: str) -> Any:
    if name in _REFUSED:
        raise Error(f"unknown function utils.{name}: {_REFUSED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
