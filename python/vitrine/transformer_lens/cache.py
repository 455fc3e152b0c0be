# SPDX-License-Identifier: MIT
"""The activations of a pass, and what they add up to."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

import torch

from vitrine.transformer_lens.decomposition import Decomposition
from vitrine.transformer_lens.names import get_act_name
from vitrine.transformer_lens.tensors import Slice, SliceInput, to_slice


class ActivationCache(Decomposition):
    """Activations by name: cache["k", 6], cache["resid_post", -1], cache["blocks.3.hook_mlp_out"].

    b batch, p positions, d width, L layers, H heads:

    | name | shape |
    |---|---|
    | q, k, v, z | [b, p, H, d_head] |
    | attn_scores, pattern | [b, H, query, key] |
    | result | [b, p, H, d] |
    | pre, post | [b, p, d_mlp] |
    | embed, pos_embed, resid_pre, resid_mid, resid_post, attn_out, mlp_out, normalized | [b, p, d] |
    | scale | [b, p, 1] |

    Without the batch axis (`remove_batch_dim`) all results have none. Functions that take `pos_slice`
    use a part of the positions; an int removes the axis. Sums and norms need the activations that they
    are made of: a cache of all names has them. `model` is any model with TransformerLens's attributes.
    """

    def __init__(self, cache_dict: dict[str, torch.Tensor], model: Any, has_batch_dim: bool = True) -> None:
        self.cache_dict = cache_dict
        self.model = model
        self.has_batch_dim = has_batch_dim
        self.has_embed = "hook_embed" in cache_dict
        self.has_pos_embed = "hook_pos_embed" in cache_dict

    def __getitem__(self, key: Any) -> torch.Tensor:
        """The activation of a name, a short name, or (name, layer, part); layers may be negative."""
        if isinstance(key, str):
            return self.cache_dict[key if key in self.cache_dict else get_act_name(key)]
        name, *place = key
        if place and place[0] is not None and place[0] < 0:
            place[0] += self.model.cfg.n_layers
        return self.cache_dict[get_act_name(name, *place)]

    def __len__(self) -> int:
        return len(self.cache_dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cache_dict)

    def __repr__(self) -> str:
        return f"ActivationCache with keys {list(self.cache_dict)}"

    def keys(self) -> KeysView[str]:
        """Whole names, in the order of the pass."""
        return self.cache_dict.keys()

    def values(self) -> ValuesView[torch.Tensor]:
        """Activations, in the order of the pass."""
        return self.cache_dict.values()

    def items(self) -> ItemsView[str, torch.Tensor]:
        """(name, activation), in the order of the pass."""
        return self.cache_dict.items()

    def to(self, device: Any) -> ActivationCache:
        """Moves all activations to a device."""
        self.cache_dict = {name: value.to(device) for name, value in self.cache_dict.items()}
        return self

    def toggle_autodiff(self, mode: bool = False) -> None:
        """torch.set_grad_enabled(mode), for the whole process."""
        logging.warning("Changed the global state, set autodiff to %s", mode)
        torch.set_grad_enabled(mode)

    def remove_batch_dim(self) -> ActivationCache:
        """Removes the batch axis of a batch of one, in place."""
        if not self.has_batch_dim:
            logging.warning("Tried removing batch dimension after already having removed it.")
            return self
        size = self._batch_size()
        if size != 1:
            raise AssertionError(f"Cannot remove batch dimension from cache with batch size {size}")
        for name, value in self.cache_dict.items():
            if value.ndim and value.shape[0] == 1:
                self.cache_dict[name] = value[0]
        self.has_batch_dim = False
        return self

    def apply_slice_to_batch_dim(self, batch_slice: Slice | SliceInput) -> ActivationCache:
        """A cache of a part of the batch; an int removes the axis."""
        chosen = to_slice(batch_slice)
        if not self.has_batch_dim and chosen.mode != "identity":
            raise AssertionError("Cannot index into a cache without a batch dim")
        size = self._batch_size()
        # What is the same for the whole batch has one row.
        cache = {
            name: chosen.apply(value, dim=0) if value.ndim and value.shape[0] == size else value
            for name, value in self.cache_dict.items()
        }
        return ActivationCache(cache, self.model, has_batch_dim=self.has_batch_dim and chosen.mode != "int")

    def _batch_size(self) -> int:
        """The most frequent length of the first axis: some entries have one row for the whole batch."""
        sizes = Counter(value.shape[0] for value in self.cache_dict.values() if value.ndim)
        return sizes.most_common(1)[0][0] if sizes else 1
