# SPDX-License-Identifier: MIT
"""Hook points before the layernorms: copies of the residual stream, which the engine does not make.

Where a function must be called at one, what the engine has after it (queries, keys, values, the MLP's
layernorm) is computed here, and takes the place of the engine's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from vitrine.error import Error

if TYPE_CHECKING:
    from vitrine.transformer_lens.config import HookedTransformerConfig
    from vitrine.transformer_lens.hook_points import CachingHook
    from vitrine.transformer_lens.site import Site

SWITCHES = {
    "attn.hook_result": "use_attn_result",
    "hook_q_input": "use_split_qkv_input",
    "hook_k_input": "use_split_qkv_input",
    "hook_v_input": "use_split_qkv_input",
    "hook_attn_in": "use_attn_in",
    "hook_mlp_in": "use_hook_mlp_in",
}
"""Fields of the configuration without which a pass does not reach a hook point."""
_ATTENTION = {"hook_attn_in": "qkv", "hook_q_input": "q", "hook_k_input": "k", "hook_v_input": "v"}
_LN1 = ("ln1.hook_scale", "ln1.hook_normalized")


def part_of(name: str) -> tuple[str, str]:
    """(block, part): "blocks.3." and "hook_attn_in", or "" and the name outside the blocks."""
    if not name.startswith("blocks."):
        return "", name
    _, layer, part = name.split(".", 2)
    return f"blocks.{layer}.", part


def stream_of(name: str) -> str | None:
    """The site that a hook point has copies of; None for other hook points."""
    block, part = part_of(name)
    if part in _ATTENTION:
        return f"{block}hook_resid_pre"
    return f"{block}hook_resid_mid" if part == "hook_mlp_in" else None


def has_heads(name: str, cfg: HookedTransformerConfig) -> bool:
    """Whether the values there are those of the engine's site, once for each head."""
    part = part_of(name)[1]
    return part in _ATTENTION or (part in _LN1 and (cfg.use_attn_in or cfg.use_split_qkv_input))


def check_function(name: str, cfg: HookedTransformerConfig) -> None:
    """Error for a function at a layernorm that TransformerLens runs once each for queries, keys and values."""
    if part_of(name)[1] in _LN1 and has_heads(name, cfg):
        raise Error(
            f"a function at {name} is not supported with use_attn_in or use_split_qkv_input, where it would run three "
            "times: give it to hook_q_input, hook_k_input or hook_v_input"
        )


class Inputs:
    """The copies of a pass whose functions are called. `blocks`: with the weights."""

    def __init__(self, blocks: list[Any], cfg: HookedTransformerConfig) -> None:
        self.sites: list[Site] = []
        self._blocks = blocks
        self._split = cfg.use_split_qkv_input
        self._values: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
        self._ln1: dict[str, torch.Tensor] = {}

    def engine_sites(self) -> list[str]:
        """The sites whose values are copied, and those whose values are computed here."""
        found: dict[str, None] = {}
        for site in self.sites:
            block, part = part_of(site.name)
            after = [f"attn.hook_{x}" for x in self._parts(part)]
            if part == "hook_mlp_in":
                after = ["ln2.hook_scale", "ln2.hook_normalized"]
            found |= dict.fromkeys([site.engine, *(block + x for x in after)])
        return list(found)

    def read(self, name: str, value: torch.Tensor, call: Callable[[Site, torch.Tensor], torch.Tensor]) -> None:
        """Calls the functions at the copies of a site, if it has any, with its value."""
        for site in self.sites:
            if site.engine != name:
                continue
            block, part = part_of(site.name)
            given = call(site, site.seen(value) if site.heads else value.clone())
            if part == "hook_mlp_in":
                self._take_mlp(block, given)
            elif self._parts(part):
                self._take_heads(block, self._parts(part), given)

    def value(self, name: str, cuts: list[torch.Tensor]) -> torch.Tensor | None:
        """The value at a site, if it is computed here, after these cuts."""
        return self._values.pop(name)(cuts[-1]) if name in self._values else None

    def seen(self, site: Site, rows: torch.Tensor, hook: CachingHook) -> torch.Tensor:
        """What a cache at a site keeps, where the engine has `rows`."""
        if site.name in self._ln1:
            return hook.pos_slice.apply(self._ln1[site.name], dim=1)
        return site.seen(rows)

    def _parts(self, part: str) -> str:
        """Which of queries, keys and values an input is for. With split inputs nothing reads hook_attn_in."""
        return "" if self._split and part == "hook_attn_in" else _ATTENTION.get(part, "")

    def _take_heads(self, block: str, parts: str, given: torch.Tensor) -> None:
        of = self._blocks[int(block.split(".")[1])]
        normalized = of.ln1(given)
        for part in parts:
            weight, bias = getattr(of.attn, f"W_{part.upper()}"), getattr(of.attn, f"b_{part.upper()}")
            self._values[f"{block}attn.hook_{part}"] = _always(
                torch.einsum("bphd,hdk->bphk", normalized, weight) + bias
            )
        if "v" in parts:  # TransformerLens's cache has those of the values' layernorm, which is the last one
            centred, scale = of.ln1.parts(given.detach())
            self._ln1 |= {f"{block}ln1.hook_scale": scale, f"{block}ln1.hook_normalized": centred / scale}

    def _take_mlp(self, block: str, given: torch.Tensor) -> None:
        centred, scale = self._blocks[int(block.split(".")[1])].ln2.parts(given)
        self._values[f"{block}ln2.hook_scale"] = _always(scale)
        # The cut before is the scale, after its own functions.
        self._values[f"{block}ln2.hook_normalized"] = lambda before: centred / before


def _always(value: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda _before: value
