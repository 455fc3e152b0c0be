# SPDX-License-Identifier: MIT
"""The small random checkpoints of tests/goldens: one a variant of GPT-2's configuration or of the file layout."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

CONTEXT = 20
BASE = {"n_layer": 2, "n_head": 3, "n_embd": 18, "vocab_size": 97, "n_positions": CONTEXT}


@dataclass(frozen=True)
class Case:
    name: str
    about: str
    config: dict = field(default_factory=dict)  # what differs from BASE
    lengths: tuple[int, ...] = (2, 7)           # one sequence of each length
    prompts: tuple[int, ...] = (1, 4, 11)       # one greedy continuation of a prompt of each length
    dtype: torch.dtype = torch.float32          # as stored
    prefix: bool = True                         # tensor names begin with "transformer."
    buffers: bool = False                       # attn.bias and attn.masked_bias, as older writers left them in
    tied_copy: bool = False                     # lm_head.weight is in the file although it is tied
    shard_bytes: int = 0                        # 0: one file
    in_full: int | None = None                  # the sequence with gradients at every site, and with attn.hook_result


def activation_case(name: str) -> Case:
    return Case(f"act_{name}", f"activation_function {name}", {"activation_function": name, "n_layer": 1}, lengths=(2, 7))


CASES = [
    Case("plain", "GPT-2 as it is; one sequence fills the context, one has every gradient",
         {"n_embd": 32, "n_head": 4, "n_layer": 3, "vocab_size": 131, "n_positions": 16},
         lengths=(1, 5, 16), prompts=(1, 4, 9), in_full=1),
    *(activation_case(name) for name in
      ["gelu", "quick_gelu", "relu", "silu", "tanh", "gelu_fast", "gelu_pytorch_tanh"]),
    Case("inverse_layer_scale", "scale_attn_by_inverse_layer_idx", {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3}),
    Case("no_attention_scale", "scale_attn_weights false", {"scale_attn_weights": False}),
    Case("no_scale_inverse_layer", "scale_attn_weights false with scale_attn_by_inverse_layer_idx",
         {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}),
    Case("upcast", "reorder_and_upcast_attn", {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True}),
    Case("inner_wide", "n_inner more than 4 D", {"n_inner": 101}),
    Case("inner_narrow", "n_inner less than D", {"n_inner": 13}),
    Case("head_20", "head width 20", {"n_embd": 40, "n_head": 2, "n_layer": 1}),
    Case("head_5", "head width 5, width 35", {"n_embd": 35, "n_head": 7, "n_layer": 1}),
    Case("head_1", "head width 1", {"n_head": 18, "n_layer": 1}),
    Case("one_of_each", "one layer, one head, vocabulary 131", {"n_layer": 1, "n_head": 1, "vocab_size": 131, "n_embd": 23}),
    Case("epsilon", "layer_norm_epsilon 1e-3", {"layer_norm_epsilon": 1e-3}),
    Case("untied", "lm_head apart from wte", {"tie_word_embeddings": False}),
    Case("stored_f16", "stored as float16", dtype=torch.float16),
    Case("stored_bf16", "stored as bfloat16", dtype=torch.bfloat16),
    Case("sharded", "several files with an index", shard_bytes=16_000),
    Case("no_prefix", "names without 'transformer.'", prefix=False),
    Case("buffers", "attn.bias and attn.masked_bias buffers and a copy of the tied lm_head", buffers=True, tied_copy=True),
    Case("no_prefix_buffers", "as the first published gpt2 files: no prefix, with buffers", prefix=False, buffers=True),
    Case("everything", "bfloat16 shards with buffers, untied, and every unusual field of the config",
         {"activation_function": "quick_gelu", "scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True,
          "n_inner": 57, "layer_norm_epsilon": 1e-4, "tie_word_embeddings": False, "n_embd": 33, "n_head": 3,
          "vocab_size": 149, "n_layer": 2}, lengths=(1, 10), dtype=torch.bfloat16, buffers=True, shard_bytes=20_000),
]


def seed_of(case: Case) -> int:
    """A case's numbers depend on its name alone, so that adding a case changes no other."""
    return int.from_bytes(case.name.encode(), "big") % (2**63)


def random_parameter(name: str, shape: torch.Size, rng: np.random.Generator) -> np.ndarray:
    """Values that make a small net do something: attention far from uniform, logits well apart, no bias at zero."""
    noise = rng.standard_normal(tuple(shape))
    if ".ln_" in name:
        return 1.0 + 0.3 * noise if name.endswith("weight") else 0.2 * noise
    if name.endswith("bias"):
        return 0.2 * noise
    if "wte" in name or "lm_head" in name:
        return 0.7 * noise
    if "wpe" in name:
        return 0.4 * noise
    gain = 1.4 if "c_attn" in name else 1.0
    return gain * noise / math.sqrt(shape[0])  # Conv1D is [in, out]


def build(case: Case) -> GPT2LMHeadModel:
    config = GPT2Config(**{**BASE, **case.config}, bos_token_id=None, eos_token_id=None)
    model = GPT2LMHeadModel(config)
    rng = np.random.default_rng(seed_of(case))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(random_parameter("." + name, parameter.shape, rng)))
    return model


def add_buffers(path: Path, case: Case, layers: int) -> None:
    """Rewrites the file that holds each layer's c_attn with the causal mask and its fill value beside it."""
    tensors = load_file(path)
    head = "transformer." if case.prefix else ""
    mask = torch.tril(torch.ones(1, 1, CONTEXT, CONTEXT))
    for layer in range(layers):
        name = f"{head}h.{layer}.attn"
        if f"{name}.c_attn.bias" in tensors:
            tensors[f"{name}.bias"] = mask.clone() if layer % 2 else mask.to(torch.uint8)  # both types have been published
            tensors[f"{name}.masked_bias"] = torch.tensor(-1e4)
    if case.tied_copy:
        tensors["lm_head.weight"] = tensors[f"{head}wte.weight"].clone()
    save_file(tensors, path, metadata={"format": "pt"})


def write(case: Case, folder: Path) -> None:
    model = build(case).to(case.dtype)
    module = model if case.prefix else model.transformer
    if case.shard_bytes:
        module.save_pretrained(folder, max_shard_size=case.shard_bytes)
    else:
        module.save_pretrained(folder)
    if case.buffers:
        # The index of a sharded checkpoint then does not list the buffers; its readers must not mind.
        for path in sorted(folder.glob("model*.safetensors")):
            add_buffers(path, case, model.config.n_layer)
