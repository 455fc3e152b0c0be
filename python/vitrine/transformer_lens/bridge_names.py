# SPDX-License-Identifier: MIT
"""Hook points of TransformerLens 4's bridge, and the engine's sites that they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Captures
from vitrine.error import Error

_BLOCK = {
    "hook_in": "hook_resid_pre",
    "ln1.hook_scale": "ln1.hook_scale",
    "ln1.hook_out": "ln1.hook_normalized",
    "attn.hook_in": "ln1.hook_normalized",
    "attn.q.hook_out": "attn.hook_q",
    "attn.k.hook_out": "attn.hook_k",
    "attn.v.hook_out": "attn.hook_v",
    "attn.hook_attn_scores": "attn.hook_attn_scores",
    "attn.hook_pattern": "attn.hook_pattern",
    "attn.o.hook_in": "attn.hook_z",
    "attn.hook_result": "attn.hook_result",
    "attn.o.hook_out": "hook_attn_out",
    "attn.hook_out": "hook_attn_out",
    "ln2.hook_scale": "ln2.hook_scale",
    "ln2.hook_out": "ln2.hook_normalized",
    "mlp.hook_in": "ln2.hook_normalized",
    "mlp.in.hook_out": "mlp.hook_pre",
    "mlp.out.hook_in": "mlp.hook_post",
    "mlp.out.hook_out": "hook_mlp_out",
    "mlp.hook_out": "hook_mlp_out",
    "hook_out": "hook_resid_post",
}
_OUTSIDE = {
    "embed.hook_out": "hook_embed",
    "pos_embed.hook_out": "hook_pos_embed",
    "ln_final.hook_scale": "ln_final.hook_scale",
    "ln_final.hook_out": "ln_final.hook_normalized",
    "unembed.hook_in": "ln_final.hook_normalized",
    "unembed.hook_out": "logits",
}


@dataclass(frozen=True)
class Place:
    """A hook point. With `scale` its values are those of `site`, centred and divided by the scale."""

    name: str
    site: str
    scale: str = ""
    instead: str = ""
    """what to edit or differentiate, where the engine has the values for captures alone"""
    alias: bool = False
    """whether the bridge has the name as an alias of another one"""

    @property
    def is_map(self) -> bool:
        """Whether it is [head, query, key] for each sequence."""
        return self.site.endswith(("hook_pattern", "hook_attn_scores"))

    def sites(self) -> list[str]:
        """Sites whose captures give its value."""
        return [self.site, self.scale] if self.scale else [self.site]

    def value(self, captures: Captures) -> npt.NDArray[np.float32]:
        """Its value in a pass."""
        values = captures[self.site]
        if not self.scale:
            return values
        normalized: npt.NDArray[np.float32] = (values - values.mean(-1, keepdims=True)) / captures[self.scale]
        return normalized

    def edited(self) -> str:
        """The site to edit or differentiate; Error if the name can be captured only."""
        if self.instead:
            raise Error(f"'{self.name}' can be captured only: edit or differentiate {self.instead}")
        return self.site


def places(layers: int) -> dict[str, Place]:
    """All hook points of a model by the bridge's names, and by the names that it has as aliases."""
    found = [Place(name, site) for name, site in _OUTSIDE.items()]
    last = f"blocks.{layers - 1}.hook_resid_post"
    found += [Place("ln_final.hook_in", last), _normalized("ln_final", last)]
    for layer in range(layers):
        block = f"blocks.{layer}."
        found += [Place(block + name, block + site) for name, site in _BLOCK.items()]
        for norm, stream in (("ln1", "hook_resid_pre"), ("ln2", "hook_resid_mid")):
            # An edit of the bridge's hook_in changes what the layernorm reads, and not the stream.
            instead = f"{block}{stream} (the stream) or {block}{norm}.hook_out"
            found.append(Place(f"{block}{norm}.hook_in", block + stream, instead=instead))
            found.append(_normalized(block + norm, block + stream))
    named = {place.name: place for place in found}
    for place in found:
        named.setdefault(place.site, Place(place.site, place.site, alias=True))
    return named


def _normalized(norm: str, stream: str) -> Place:
    """A layernorm's output before its weight."""
    return Place(f"{norm}.hook_normalized", stream, f"{norm}.hook_scale", f"{norm}.hook_out, after the weight")
