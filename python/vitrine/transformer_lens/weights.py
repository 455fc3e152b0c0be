# SPDX-License-Identifier: MIT
"""Weights with TransformerLens's names and axes, read from a checkpoint or a model of transformers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine import command
from vitrine.error import Error
from vitrine.transformer_lens import tensor_file

Array = npt.NDArray[Any]
State = dict[str, Array]
"""Arrays by TransformerLens's names: "blocks.0.attn.W_Q" [H, D, K], "unembed.W_U" [D, V], ..."""


@dataclass
class Source:
    """What a checkpoint holds: its config.json, weights as float32, and files of its tokenizer by name."""

    config: dict[str, Any]
    state: State
    tokenizer: dict[str, bytes]


def from_checkpoint(name: str) -> Source:
    """A checkpoint by directory, file or name, as Model.load finds it. Raises Error as that does."""
    with tempfile.TemporaryDirectory(prefix="vitrine-") as folder:
        out = Path(folder) / "model"
        command.run(["convert", name, "--out", str(out), "--dtype", "f32"])
        config = json.loads((out / "config.json").read_text("utf-8"))
        weights = tensor_file.read(out / "model.safetensors")
        others = [path for path in out.iterdir() if path.suffix not in (".safetensors",) and path.name != "config.json"]
        return Source(config, renamed(weights, config), {path.name: path.read_bytes() for path in others})


def from_transformers(model: Any) -> Source:
    """A GPT2LMHeadModel of transformers."""
    config: dict[str, Any] = model.config.to_dict()
    if config.get("model_type") != "gpt2":
        raise Error(f"hf_model is a {type(model).__name__}: expected a GPT2LMHeadModel, the engine runs GPT-2")
    weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    return Source(config, renamed(weights, config), {})


def renamed(weights: Mapping[str, Array], config: Mapping[str, Any]) -> State:
    """Weights with transformers' names and axes, renamed. The arrays are views where they can be."""
    prefix = "transformer." if "transformer.wte.weight" in weights else ""
    heads = int(config["n_head"])
    of = {name.removeprefix(prefix): values for name, values in weights.items()}
    state = {
        "embed.W_E": of["wte.weight"],
        "pos_embed.W_pos": of["wpe.weight"],
        "unembed.W_U": weights.get("lm_head.weight", of["wte.weight"]).T,
        "ln_final.w": of["ln_f.weight"],
        "ln_final.b": of["ln_f.bias"],
    }
    width, vocab = state["unembed.W_U"].shape
    state["unembed.b_U"] = weights.get("lm_head.bias", np.zeros(vocab, np.float32))
    for layer in range(int(config["n_layer"])):
        block, hf = f"blocks.{layer}", f"h.{layer}"
        joined, bias = of[f"{hf}.attn.c_attn.weight"], of[f"{hf}.attn.c_attn.bias"]
        for i, part in enumerate("QKV"):
            columns = slice(i * width, (i + 1) * width)
            state[f"{block}.attn.W_{part}"] = joined[:, columns].reshape(width, heads, -1).transpose(1, 0, 2)
            state[f"{block}.attn.b_{part}"] = bias[columns].reshape(heads, -1)
        state[f"{block}.attn.W_O"] = of[f"{hf}.attn.c_proj.weight"].reshape(heads, -1, width)
        state[f"{block}.attn.b_O"] = of[f"{hf}.attn.c_proj.bias"]
        for ours, theirs in (("ln1", "ln_1"), ("ln2", "ln_2")):
            state[f"{block}.{ours}.w"] = of[f"{hf}.{theirs}.weight"]
            state[f"{block}.{ours}.b"] = of[f"{hf}.{theirs}.bias"]
        for ours, theirs in (("in", "c_fc"), ("out", "c_proj")):
            state[f"{block}.mlp.W_{ours}"] = of[f"{hf}.mlp.{theirs}.weight"]
            state[f"{block}.mlp.b_{ours}"] = of[f"{hf}.mlp.{theirs}.bias"]
    return state


def with_transformers_names(state: State, layers: int) -> dict[str, Array]:
    """The inverse of renamed(). Every layernorm is in `state`."""
    width = state["embed.W_E"].shape[1]
    found = {
        "transformer.wte.weight": state["embed.W_E"],
        "transformer.wpe.weight": state["pos_embed.W_pos"],
        "transformer.ln_f.weight": state["ln_final.w"],
        "transformer.ln_f.bias": state["ln_final.b"],
        "lm_head.weight": state["unembed.W_U"].T,
        "lm_head.bias": state["unembed.b_U"],
    }
    for layer in range(layers):
        block, hf = f"blocks.{layer}", f"transformer.h.{layer}"
        found[f"{hf}.attn.c_attn.weight"] = np.concatenate(
            [state[f"{block}.attn.W_{part}"].transpose(1, 0, 2).reshape(width, -1) for part in "QKV"], axis=1
        )
        found[f"{hf}.attn.c_attn.bias"] = np.concatenate(
            [state[f"{block}.attn.b_{part}"].reshape(-1) for part in "QKV"]
        )
        found[f"{hf}.attn.c_proj.weight"] = state[f"{block}.attn.W_O"].reshape(-1, width)
        found[f"{hf}.attn.c_proj.bias"] = state[f"{block}.attn.b_O"]
        for ours, theirs in (("ln1", "ln_1"), ("ln2", "ln_2")):
            found[f"{hf}.{theirs}.weight"] = state[f"{block}.{ours}.w"]
            found[f"{hf}.{theirs}.bias"] = state[f"{block}.{ours}.b"]
        for ours, theirs in (("in", "c_fc"), ("out", "c_proj")):
            found[f"{hf}.mlp.{theirs}.weight"] = state[f"{block}.mlp.W_{ours}"]
            found[f"{hf}.mlp.{theirs}.bias"] = state[f"{block}.mlp.b_{ours}"]
    return found
