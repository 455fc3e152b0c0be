# SPDX-License-Identifier: MIT
"""Path patching from one head to another: only the edge between them carries the clean run's values."""

from __future__ import annotations

from typing import Any, Literal

import torch

from vitrine.error import Error
from vitrine.transformer_lens.patching import Metric, number, progress

Component = Literal["q", "k", "v"]


def get_act_patch_direct_path(
    model: Any,
    corrupted_tokens: torch.Tensor,
    clean_cache: Any,
    corrupted_cache: Any,
    patching_metric: Metric,
    src_layer: int,
    src_head: int,
    component: Component = "q",
    verbose: bool = True,
) -> torch.Tensor:
    """The metric [n_layers, n_heads] with the path from one head into each later head's queries patched.

    What the source head writes in the clean run takes the place of what it writes in the corrupted run, for
    that one reader: its queries ("k": keys, "v": values) are computed again, layernorm included. Rows up to
    `src_layer` are 0. `clean_cache` needs the source's hook_z, `corrupted_cache` also hook_resid_pre of later
    layers; both with a batch axis. `verbose`: shows tqdm's bar.
    """
    if component not in ("q", "k", "v"):
        raise Error(f"invalid component {component!r}: expected 'q', 'k' or 'v'")
    source = ("z", src_layer)
    change = clean_cache[source][:, :, src_head] - corrupted_cache[source][:, :, src_head]
    change = change @ model.blocks[src_layer].attn.W_O[src_head]
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, device=model.cfg.device)
    heads = [(layer, head) for layer in range(src_layer + 1, model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    for layer, head in progress(heads, len(heads)) if verbose else heads:
        block = model.blocks[layer]
        read = block.ln1(corrupted_cache["resid_pre", layer] + change)
        weight, bias = (getattr(block.attn, f"{kind}_{component.upper()}")[head] for kind in ("W", "b"))
        name = f"blocks.{layer}.attn.hook_{component}"
        logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, _replace(head, read @ weight + bias))])
        results[layer, head] = number(patching_metric(logits))
    return results


def get_act_patch_direct_path_all_sources(
    model: Any,
    corrupted_tokens: torch.Tensor,
    clean_cache: Any,
    corrupted_cache: Any,
    patching_metric: Metric,
    component: Component = "q",
    verbose: bool = True,
) -> torch.Tensor:
    """get_act_patch_direct_path() from every head: [n_layers, n_heads, n_layers, n_heads]."""
    layers, heads = model.cfg.n_layers, model.cfg.n_heads
    sources = [(layer, head) for layer in range(layers) for head in range(heads)]
    found = [
        get_act_patch_direct_path(
            model,
            corrupted_tokens,
            clean_cache,
            corrupted_cache,
            patching_metric,
            layer,
            head,
            component,
            verbose=False,
        )
        for layer, head in (progress(sources, len(sources)) if verbose else sources)
    ]
    return torch.stack(found).reshape(layers, heads, layers, heads)


def _replace(head: int, values: torch.Tensor) -> Any:
    def hook(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation = activation.clone()
        activation[:, :, head] = values
        return activation

    return hook
