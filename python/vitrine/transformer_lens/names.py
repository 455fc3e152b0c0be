# SPDX-License-Identifier: MIT
"""Short names of activations: ("k", 6) is blocks.6.attn.hook_k."""

from __future__ import annotations

import re

_LAYER_TYPES = {"a": "attn", "m": "mlp", "b": "", "block": "", "blocks": "", "attention": "attn"}
_ALIASES = {
    "attn": "pattern",
    "attn_logits": "attn_scores",
    "key": "k",
    "query": "q",
    "value": "v",
    "mlp_pre": "pre",
    "mlp_mid": "mid",
    "mlp_post": "post",
}
_IN_ATTENTION = ("k", "v", "q", "z", "rot_k", "rot_q", "result", "pattern", "attn_scores")
_IN_MLP = ("pre", "post", "mid", "pre_linear")
_OF_LAYER_NORM = ("scale", "normalized")
_SHORT = re.compile(r"([a-z]+)(\d+)([a-z]?.*)")


def get_act_name(name: str, layer: int | str | None = None, layer_type: str | None = None) -> str:
    """The whole name of an activation.

    `name`: "k", "resid_post", "embed", ..., or with the layer and its part inside, "scale4ln1", "k6". A
    whole name is returned as it is. `layer_type`: "attn", "mlp", "ln1", "ln2", or "a", "m", "b"; only
    "scale" and "normalized" need it, which without a layer are those of ln_final.
    """
    if layer is None and layer_type is None and ("." in name or name.startswith("hook_")):
        return name
    short = _SHORT.match(name)
    if short is not None:
        name, layer, layer_type = short.groups()
    name = _ALIASES.get(name, name)
    if name in _IN_ATTENTION:
        layer_type = "attn"
    elif name in _IN_MLP:
        layer_type = "mlp"
    elif layer_type is not None:
        layer_type = _LAYER_TYPES.get(layer_type, layer_type)
    if name in _OF_LAYER_NORM and layer is None:
        layer_type = f"ln_final.{layer_type}" if layer_type else "ln_final"
    block = "" if layer is None else f"blocks.{layer}."
    part = f"{layer_type}." if layer_type else ""
    return f"{block}{part}hook_{name}"
