# SPDX-License-Identifier: MIT
"""Keys and values of earlier tokens: TransformerLens's object over a session of the engine."""

from __future__ import annotations

from typing import Any

import torch

from vitrine._vitrine import Model, RunBatch, Session
from vitrine.error import Error
from vitrine.transformer_lens.arrays import batch_rows, to_torch
from vitrine.transformer_lens.config import HookedTransformerConfig


class HookedTransformerKeyValueCacheEntry:
    """Keys and values of one layer so far, [B, P, H, K]. Copies: the engine has its own."""

    def __init__(self, keys: torch.Tensor) -> None:
        self.past_keys = keys
        self.past_values = keys.clone()


class HookedTransformerKeyValueCache:
    """Pass it as past_kv_cache=; each pass appends its tokens unless the cache is frozen.

    `has_entries` False: the engine alone has the keys and values.
    """

    def __init__(self, cfg: HookedTransformerConfig, batch_size: int) -> None:
        self.frozen = False
        self.has_entries = True
        self.previous_attention_mask = torch.empty((batch_size, 0), dtype=torch.int)
        shape = (batch_size, 0, cfg.n_heads, cfg.d_head)
        empty = torch.empty(shape, dtype=cfg.dtype, device=cfg.device)
        self.entries = [HookedTransformerKeyValueCacheEntry(empty) for _ in range(cfg.n_layers)]
        self._context = cfg.n_ctx
        self._session: Session | None = None
        self._model: Model | None = None

    @classmethod
    def init_cache(
        cls, cfg: HookedTransformerConfig, device: Any = None, batch_size: int = 1
    ) -> HookedTransformerKeyValueCache:
        """An empty cache for `batch_size` sequences. `device` must be the model's, or None."""
        if device is not None and torch.device(device).type != torch.device(cfg.device).type:
            raise Error(f"the cache is on the model's device {cfg.device}, not on {device}")
        return cls(cfg, batch_size)

    def __getitem__(self, layer: int) -> HookedTransformerKeyValueCacheEntry:
        return self.entries[layer]

    def __len__(self) -> int:
        return len(self.entries)

    def freeze(self) -> None:
        """Later passes see the cache and do not change it."""
        self.frozen = True

    def unfreeze(self) -> None:
        """Later passes append their tokens."""
        self.frozen = False

    def length(self) -> int:
        """Number of positions so far."""
        return int(self.previous_attention_mask.shape[1])

    def append_attention_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """The mask [B, N] of all positions with those of the next tokens, which a pass will add."""
        return torch.cat([self.previous_attention_mask, mask.to(self.previous_attention_mask.device)], dim=-1)

    def session(self, model: Model, count: int, length: int) -> Session:
        """The engine's session, for a pass of `length` more tokens."""
        if self._session is None:
            self._session, self._model = model.session(count, capacity=self._context), model
        if self._model is not model:
            raise Error("past_kv_cache belongs to another model: make one with init_cache(model.cfg)")
        return self._session

    def sites(self, start: int, stop: int) -> list[str]:
        """What a pass must capture for append()."""
        if not self.has_entries:
            return []
        return [f"blocks.{layer}.attn.hook_{part}" for layer in range(start, stop) for part in "kv"]

    def append(self, batch: RunBatch, start: int, stop: int, dtype: torch.dtype, device: Any) -> None:
        """Appends the keys and values of a pass, or drops them from the session if the cache is frozen."""
        if self.frozen:
            assert self._session is not None
            for sequence in range(len(batch)):
                self._session.truncate(self.length(), sequence)
            return
        for layer in range(start, stop if self.has_entries else start):
            entry = self.entries[layer]
            keys, values = (
                to_torch(batch_rows(batch, f"blocks.{layer}.attn.hook_{part}"), dtype, device) for part in "kv"
            )
            entry.past_keys = torch.cat([entry.past_keys, keys], dim=1)
            entry.past_values = torch.cat([entry.past_values, values], dim=1)
