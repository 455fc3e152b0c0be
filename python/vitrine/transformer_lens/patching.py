# SPDX-License-Identifier: MIT
"""Activation patching: a metric of the corrupted prompt's logits with a part of the clean run's activations.

    _, clean_cache = model.run_with_cache(clean_tokens)
    patching.get_act_patch_resid_pre(model, corrupted_tokens, clean_cache, metric)   # [layer, pos]

`metric` makes a number of logits [batch, pos, d_vocab]. To patch corrupted activations into the clean run,
exchange the two. `vitrine.patch` does the same natively for a difference of logits.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from vitrine._vitrine import Edit, Model, Place
from vitrine.error import Error
from vitrine.transformer_lens.names import get_act_name

Index = Sequence[int]
Setter = Callable[[torch.Tensor, Index, torch.Tensor], torch.Tensor]
T = TypeVar("T")
Metric = Callable[[torch.Tensor], Any]

_BATCH_BYTES = 256 << 20
"""Logits that one pass of the engine returns at most"""


def make_df_from_ranges(column_max_ranges: Sequence[int], column_names: Sequence[str]) -> Any:
    """A pandas table of all indices below the maxima; the last column changes first."""
    return _table(itertools.product(*map(range, column_max_ranges)), column_names)


def generic_activation_patch(
    model: Any,
    corrupted_tokens: torch.Tensor,
    clean_cache: Any,
    patching_metric: Metric,
    patch_setter: Setter,
    activation_name: str,
    index_axis_names: Sequence[str] | None = None,
    index_df: Any = None,
    return_index_df: bool = False,
) -> Any:
    """The metric after each of many patches, one a row of a table of indices.

    `patch_setter(corrupted_activation, index, clean_activation)` returns the patched activation; the first
    element of an index is the layer. `index_axis_names`: of "layer", "pos", "head", "head_index", "src_pos",
    "dest_pos"; all their indices are patched, and the result has an axis for each. `index_df`: a pandas table
    with a row for each patch, or a sequence of rows; the result has one axis. `return_index_df`: (result,
    table). With this module's setters the engine runs many patches as one batch.
    """
    if (index_df is None) == (index_axis_names is None):
        raise AssertionError("expected either index_axis_names or index_df")
    if index_axis_names is not None:
        shape = [_lengths(model, corrupted_tokens, activation_name)[axis] for axis in index_axis_names]
        rows: list[Index] = list(itertools.product(*map(range, shape)))
    else:
        rows = _rows(index_df)
        shape = [len(rows)]
    patches = _Patches(model, corrupted_tokens, clean_cache, patch_setter, activation_name)
    metrics = [number(patching_metric(logits)) for logits in progress(patches.logits(rows), len(rows))]
    result = torch.tensor(metrics, dtype=torch.float32, device=model.cfg.device).reshape(shape)
    if not return_index_df:
        return result
    return result, _table(rows, index_axis_names) if index_axis_names is not None else index_df


def layer_pos_patch_setter(
    corrupted_activation: torch.Tensor, index: Index, clean_activation: torch.Tensor
) -> torch.Tensor:
    """index = [layer, pos] of an activation [batch, pos, ...]"""
    layer, pos = index
    corrupted_activation[:, pos] = clean_activation[:, pos]
    return corrupted_activation


def layer_pos_head_vector_patch_setter(
    corrupted_activation: torch.Tensor, index: Index, clean_activation: torch.Tensor
) -> torch.Tensor:
    """index = [layer, pos, head] of an activation [batch, pos, head, ...]"""
    layer, pos, head = index
    corrupted_activation[:, pos, head] = clean_activation[:, pos, head]
    return corrupted_activation


def layer_head_vector_patch_setter(
    corrupted_activation: torch.Tensor, index: Index, clean_activation: torch.Tensor
) -> torch.Tensor:
    """index = [layer, head] of an activation [batch, pos, head, ...]"""
    layer, head = index
    corrupted_activation[:, :, head] = clean_activation[:, :, head]
    return corrupted_activation


def layer_head_pattern_patch_setter(
    corrupted_activation: torch.Tensor, index: Index, clean_activation: torch.Tensor
) -> torch.Tensor:
    """index = [layer, head] of an activation [batch, head, dest_pos, src_pos]"""
    layer, head = index
    corrupted_activation[:, head] = clean_activation[:, head]
    return corrupted_activation


def layer_head_pos_pattern_patch_setter(
    corrupted_activation: torch.Tensor, index: Index, clean_activation: torch.Tensor
) -> torch.Tensor:
    """index = [layer, head, dest_pos] of an activation [batch, head, dest_pos, src_pos]"""
    layer, head, dest_pos = index
    corrupted_activation[:, head, dest_pos] = clean_activation[:, head, dest_pos]
    return corrupted_activation


def layer_head_dest_src_pos_pattern_patch_setter(
    corrupted_activation: torch.Tensor, index: Index, clean_activation: torch.Tensor
) -> torch.Tensor:
    """index = [layer, head, dest_pos, src_pos] of an activation [batch, head, dest_pos, src_pos]"""
    layer, head, dest_pos, src_pos = index
    corrupted_activation[:, head, dest_pos, src_pos] = clean_activation[:, head, dest_pos, src_pos]
    return corrupted_activation


_OF_EACH_SEQUENCE = (
    layer_pos_patch_setter,
    layer_pos_head_vector_patch_setter,
    layer_head_vector_patch_setter,
    layer_head_pattern_patch_setter,
    layer_head_pos_pattern_patch_setter,
    layer_head_dest_src_pos_pattern_patch_setter,
)
"""Setters that treat all sequences of a batch alike, so that the engine may call them for one"""


class _Patches:
    """The passes of one table of patches."""

    def __init__(self, model: Any, tokens: Any, clean_cache: Any, setter: Setter, activation: str) -> None:
        self.model, self.tokens, self.clean_cache = model, tokens, clean_cache
        self.setter, self.activation = setter, activation

    def logits(self, rows: Sequence[Index]) -> Iterator[torch.Tensor]:
        """Logits [batch, pos, d_vocab] after each patch."""
        if self._as_one_batch():
            sequences, length = self.tokens.shape
            size = max(1, _BATCH_BYTES // (4 * sequences * length * self.model.cfg.d_vocab))
            for begin in range(0, len(rows), size):
                yield from self._run(rows[begin : begin + size])
        else:
            for row in rows:
                name = self._name(row)
                yield self.model.run_with_hooks(self.tokens, fwd_hooks=[(name, partial(self._hook, row))])

    def _name(self, row: Index) -> str:
        return get_act_name(self.activation, row[0])

    def _hook(self, row: Index, activation: torch.Tensor, hook: Any) -> torch.Tensor:
        if activation.requires_grad:
            activation = activation.clone()
        return self.setter(activation, row, self.clean_cache[self._name(row)])

    def _as_one_batch(self) -> bool:
        """Whether the engine's model alone says what a pass does: no hook, no padding."""
        model = self.model
        if self.setter not in _OF_EACH_SEQUENCE or not isinstance(getattr(model, "native", None), Model):
            return False
        if not isinstance(self.tokens, torch.Tensor) or self.tokens.ndim != 2:
            return False
        if model.tokenizer is not None and model.tokenizer.padding_side == "left":
            return False
        return not any(point.fwd_hooks or point.bwd_hooks for point in model.hook_dict.values())

    def _run(self, rows: Sequence[Index]) -> Iterator[torch.Tensor]:
        count = len(self.tokens)
        tokens = self.tokens.cpu().numpy()
        names = sorted({self._name(row) for row in rows})

        def patch(values: Any, place: Place) -> None:
            row, sequence = divmod(place.sequence, count)
            clean = self.clean_cache[place.name][sequence : sequence + 1].detach().cpu()
            self.setter(torch.from_numpy(values)[None], rows[row], clean)

        edits = [
            Edit.function(name, patch, sequences=[
                row * count + sequence
                for row, index in enumerate(rows)
                if self._name(index) == name
                for sequence in range(count)
            ])
            for name in names
        ]  # fmt: skip
        batch = self.model.native.run(np.tile(tokens, (len(rows), 1)), edits=edits)
        for row in range(len(rows)):
            logits = np.stack([batch[row * count + sequence].logits for sequence in range(count)])
            yield torch.from_numpy(logits).to(device=self.model.cfg.device, dtype=self.model.cfg.dtype)


def _lengths(model: Any, tokens: torch.Tensor, activation_name: str) -> dict[str, int]:
    """How many indices each axis has."""
    heads = model.cfg.n_heads
    if activation_name in ("k", "v") and getattr(model.cfg, "n_key_value_heads", None) is not None:
        heads = model.cfg.n_key_value_heads
    positions = tokens.shape[-1]
    return {
        "layer": model.cfg.n_layers,
        "pos": positions,
        "src_pos": positions,
        "dest_pos": positions,
        "head": heads,
        "head_index": heads,
    }


def number(metric: Any) -> float:
    """A metric's value as a number."""
    return float(metric.item() if isinstance(metric, torch.Tensor) else metric)


def _rows(table: Any) -> list[Index]:
    """Rows of a pandas table, or of a sequence."""
    values = table.to_numpy().tolist() if hasattr(table, "to_numpy") else table
    return [[int(index) for index in row] for row in values]


def _table(rows: Iterable[Index], names: Sequence[str]) -> Any:
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise Error("tables of indices need pandas, which is not installed: pip install pandas") from None
    return pandas.DataFrame(list(rows), columns=list(names))


def progress(items: Iterable[T], total: int) -> Iterable[T]:
    """The items, with tqdm's bar where it is installed."""
    try:
        tqdm: Any = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return items
    bar: Iterable[T] = tqdm(items, total=total)
    return bar


def _patcher(setter: Setter, activation_name: str, axes: Sequence[str]) -> Callable[..., Any]:
    """generic_activation_patch for one activation: f(model, corrupted_tokens, clean_cache, patching_metric)."""
    function = partial(
        generic_activation_patch, patch_setter=setter, activation_name=activation_name, index_axis_names=axes
    )
    function.__doc__ = (
        f"The metric after patching {activation_name}: [{', '.join(axes)}]. Arguments: model, corrupted_tokens, "
        "clean_cache, patching_metric, and those of generic_activation_patch."
    )
    return function


_BY_POS = ("layer", "pos", "head")
_ALL_POS = ("layer", "head")

get_act_patch_resid_pre = _patcher(layer_pos_patch_setter, "resid_pre", ("layer", "pos"))
get_act_patch_resid_mid = _patcher(layer_pos_patch_setter, "resid_mid", ("layer", "pos"))
get_act_patch_attn_out = _patcher(layer_pos_patch_setter, "attn_out", ("layer", "pos"))
get_act_patch_mlp_out = _patcher(layer_pos_patch_setter, "mlp_out", ("layer", "pos"))
get_act_patch_attn_head_out_by_pos = _patcher(layer_pos_head_vector_patch_setter, "z", _BY_POS)
get_act_patch_attn_head_q_by_pos = _patcher(layer_pos_head_vector_patch_setter, "q", _BY_POS)
get_act_patch_attn_head_k_by_pos = _patcher(layer_pos_head_vector_patch_setter, "k", _BY_POS)
get_act_patch_attn_head_v_by_pos = _patcher(layer_pos_head_vector_patch_setter, "v", _BY_POS)
get_act_patch_attn_head_pattern_by_pos = _patcher(
    layer_head_pos_pattern_patch_setter, "pattern", ("layer", "head_index", "dest_pos")
)
get_act_patch_attn_head_pattern_dest_src_pos = _patcher(
    layer_head_dest_src_pos_pattern_patch_setter, "pattern", ("layer", "head_index", "dest_pos", "src_pos")
)
get_act_patch_attn_head_out_all_pos = _patcher(layer_head_vector_patch_setter, "z", _ALL_POS)
get_act_patch_attn_head_q_all_pos = _patcher(layer_head_vector_patch_setter, "q", _ALL_POS)
get_act_patch_attn_head_k_all_pos = _patcher(layer_head_vector_patch_setter, "k", _ALL_POS)
get_act_patch_attn_head_v_all_pos = _patcher(layer_head_vector_patch_setter, "v", _ALL_POS)
get_act_patch_attn_head_pattern_all_pos = _patcher(layer_head_pattern_patch_setter, "pattern", ("layer", "head_index"))


def get_act_patch_attn_head_all_pos_every(
    model: Any, corrupted_tokens: torch.Tensor, clean_cache: Any, metric: Metric
) -> torch.Tensor:
    """[5, layer, head]: heads' outputs, queries, keys, values and patterns, each at all positions."""
    functions = (
        get_act_patch_attn_head_out_all_pos,
        get_act_patch_attn_head_q_all_pos,
        get_act_patch_attn_head_k_all_pos,
        get_act_patch_attn_head_v_all_pos,
        get_act_patch_attn_head_pattern_all_pos,
    )
    return _stacked(functions, model, corrupted_tokens, clean_cache, metric)


def get_act_patch_attn_head_by_pos_every(
    model: Any, corrupted_tokens: torch.Tensor, clean_cache: Any, metric: Metric
) -> torch.Tensor:
    """[5, layer, pos, head]: heads' outputs, queries, keys, values, and patterns by their destination."""

    def pattern(*arguments: Any) -> torch.Tensor:
        found: torch.Tensor = get_act_patch_attn_head_pattern_by_pos(*arguments)
        return found.transpose(-1, -2)

    functions = (
        get_act_patch_attn_head_out_by_pos,
        get_act_patch_attn_head_q_by_pos,
        get_act_patch_attn_head_k_by_pos,
        get_act_patch_attn_head_v_by_pos,
        pattern,
    )
    return _stacked(functions, model, corrupted_tokens, clean_cache, metric)


def get_act_patch_block_every(
    model: Any, corrupted_tokens: torch.Tensor, clean_cache: Any, metric: Metric
) -> torch.Tensor:
    """[3, layer, pos]: the stream before each block, outputs of attention, outputs of MLPs."""
    functions = (get_act_patch_resid_pre, get_act_patch_attn_out, get_act_patch_mlp_out)
    return _stacked(functions, model, corrupted_tokens, clean_cache, metric)


def _stacked(functions: Sequence[Callable[..., Any]], *arguments: Any) -> torch.Tensor:
    """All results; where keys and values have fewer heads, zeros fill the last axis."""
    found = [function(*arguments) for function in functions]
    width = max(result.shape[-1] for result in found)
    return torch.stack([torch.nn.functional.pad(result, (0, width - result.shape[-1])) for result in found])
