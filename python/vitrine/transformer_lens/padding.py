# SPDX-License-Identifier: MIT
"""Padded batches: positions count tokens, and no key of a padding token is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Edit, Place

Values = npt.NDArray[np.float32]


class Padding:
    """The padding of a batch, from a mask [B, N] of its tokens with `past` earlier ones.

    As in TransformerLens, a padding token has no position embedding, and sees the tokens before it.
    """

    def __init__(self, mask: npt.NDArray[np.bool_], past: int, position_embeddings: Values) -> None:
        self.mask = mask
        self.past = past
        self.padded = [b for b in range(len(mask)) if not mask[b].all()]
        positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)[:, past:]
        self._embeds = np.where(mask[:, past:, None], position_embeddings[positions], np.float32(0))
        seen = np.cumsum(mask, axis=1)[:, past:] > 0
        self._blind = {b: np.flatnonzero(~seen[b]) for b in self.padded}

    def edits(self, layers: range, embeds: bool) -> list[Edit]:
        """The edits that make a pass over these layers see the batch so."""
        rows = range(self.past, self.mask.shape[1])
        found = []
        for b in self.padded if embeds else ():
            found.append(Edit.replace("hook_pos_embed", self._embeds[b], positions=rows, sequences=b))
        if not len(layers) or not self.padded:
            return found
        where: dict[str, Any] = {"layers": layers}
        found.append(
            Edit.function(
                "blocks.*.attn.hook_attn_scores", self._mask_scores, self._mask_gradient, sequences=self.padded, **where
            )
        )
        for b in self.padded:
            if self._blind[b].size:
                # A softmax over no key has no value.
                blind = [int(self.past + row) for row in self._blind[b]]
                found.append(Edit.zero("blocks.*.attn.hook_pattern", positions=blind, sequences=b, **where))
        return found

    def hide(self, name: str, values: Values) -> None:
        """Sets scores [B, H, P, N] of rows that see no key to -inf, in place."""
        if name.endswith("hook_attn_scores"):
            for b in self.padded:
                values[b][:, self._blind[b]] = -np.inf

    def hidden(self, name: str, values: Values) -> Values:
        """hide(), of values that may be part of the positions."""
        if name.endswith("hook_attn_scores") and values.shape[2] == self.mask.shape[1] - self.past:
            self.hide(name, values)
        return values

    def _mask_scores(self, values: Values, place: Place) -> None:
        self._rows(values, place, -np.inf)

    def _mask_gradient(self, values: Values, place: Place) -> None:
        self._rows(values, place, 0.0)

    def _rows(self, values: Values, place: Place, number: float) -> None:
        keys = ~self.mask[place.sequence][: values.shape[2]]
        seeing = np.ones(values.shape[1], bool)
        seeing[self._blind[place.sequence]] = False
        values[:, seeing[:, None] & keys[None, :]] = number
