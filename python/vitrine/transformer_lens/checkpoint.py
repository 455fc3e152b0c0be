# SPDX-License-Identifier: MIT
"""The engine's model of given weights, loaded from a checkpoint that exists for that moment."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitrine._vitrine import Model
from vitrine.error import Error
from vitrine.transformer_lens import tensor_file
from vitrine.transformer_lens.config import HookedTransformerConfig
from vitrine.transformer_lens.processing import fold_layer_norms, is_layer_norm
from vitrine.transformer_lens.weights import State, with_transformers_names

_STORED = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}


def load(cfg: HookedTransformerConfig, state: State, tokenizer: Mapping[str, bytes]) -> Model:
    """A model with the layernorms folded, so that hook_normalized is their output before weight and bias."""
    if cfg.dtype not in _STORED:
        raise Error(f"dtype {cfg.dtype} is not supported: expected float32, float16 or bfloat16")
    folded = dict(state)
    _add_layer_norms(cfg, folded)
    fold_layer_norms(folded, cfg.n_layers, center=False)
    with tempfile.TemporaryDirectory(prefix="vitrine-") as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(_config(cfg)), "utf-8")
        for file, contents in tokenizer.items():
            (folder / file).write_bytes(contents)
        tensor_file.write(folder / "model.safetensors", with_transformers_names(folded, cfg.n_layers))
        return Model.load(folder, device=str(cfg.device), dtype=_STORED[cfg.dtype], bos="none")


def _add_layer_norms(cfg: HookedTransformerConfig, state: dict[str, Any]) -> None:
    norms = [f"blocks.{layer}.{norm}" for layer in range(cfg.n_layers) for norm in ("ln1", "ln2")] + ["ln_final"]
    if not any(is_layer_norm(name) for name in state):
        for norm in norms:
            state[f"{norm}.w"], state[f"{norm}.b"] = np.ones(cfg.d_model, np.float32), np.zeros(cfg.d_model, np.float32)


def _config(cfg: HookedTransformerConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": cfg.act_fn,
        "layer_norm_epsilon": cfg.eps,
        "n_ctx": cfg.n_ctx,
        "n_positions": cfg.n_ctx,
        "n_embd": cfg.d_model,
        "n_head": cfg.n_heads,
        "n_inner": cfg.d_mlp,
        "n_layer": cfg.n_layers,
        "vocab_size": cfg.d_vocab,
        "tie_word_embeddings": False,
        "scale_attn_by_inverse_layer_idx": cfg.scale_attn_by_inverse_layer_idx,
    }
