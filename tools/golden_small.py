# SPDX-License-Identifier: MIT
"""GPT-2 small's shape with random weights that Python and C++ make alike from a seed, so that none need storing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from golden_trace import Trace, next_token_loss, numpy_of

NAME = "gpt2_small_random"
SEED = 20190214
LENGTH = 48
POSITIONS = [0, 1, 7, 23, 46, 47]
VOCAB_STEP, ELEMENT_STEP = 97, 13

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
LAYER_TENSORS = ["ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight",
                 "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias",
                 "mlp.c_proj.weight", "mlp.c_proj.bias"]
OUTER_TENSORS = ["wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias", "lm_head.weight"]


def splitmix64(seed: np.uint64, index: np.ndarray) -> np.ndarray:
    """Outputs number `index` (from 0) of the SplitMix64 generator that starts at `seed`."""
    with np.errstate(over="ignore"):
        z = seed + (index.astype(np.uint64) + np.uint64(1)) * GOLDEN_GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def tensor_index(name: str) -> int:
    if name in OUTER_TENSORS:
        return OUTER_TENSORS.index(name)
    _, layer, rest = name.split(".", 2)
    return len(OUTER_TENSORS) + len(LAYER_TENSORS) * int(layer) + LAYER_TENSORS.index(rest)


def random_tensor(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """See "Weights from a seed" in tests/goldens/README.md; engine/random_weights.cc gives the same bits."""
    key = splitmix64(np.uint64(seed), np.array([tensor_index(name)]))[0]
    bits = splitmix64(key, np.arange(int(np.prod(shape)), dtype=np.uint64)) >> np.uint64(40)
    unit = (bits.astype(np.int64) - 2**23).astype(np.float32) * np.float32(2.0**-23)
    if ".ln_" in "." + name and name.endswith(".weight"):
        values = np.float32(1.0) + unit * np.float32(0.125)
    elif name.endswith(".bias"):
        values = unit * np.float32(0.0625)
    else:
        values = unit * np.float32(11.0 / 128.0)
    return values.reshape(shape)


def build() -> GPT2LMHeadModel:
    model = GPT2LMHeadModel._from_config(GPT2Config(), attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            canonical = name.removeprefix("transformer.")
            parameter.copy_(torch.from_numpy(random_tensor(SEED, canonical, tuple(parameter.shape))))
    return model


def run(model: GPT2LMHeadModel, ids: list[int], target: int | None) -> tuple[dict[str, np.ndarray], float, int]:
    """Whole tensors of the run, the loss, and the id whose logit at the last position the gradient is of."""
    tracer = Trace(model)
    logits = tracer.run(ids)
    target = int(logits[-1].argmax()) if target is None else target
    loss = next_token_loss(logits, ids)
    wanted = ("hook_embed", "hook_resid_post", "hook_attn_scores", "hook_pattern", "ln_final.hook_normalized", "logits")
    arrays = {name: value for name, value in numpy_of(tracer.values(with_result=False)).items() if name.endswith(wanted)}
    arrays["grad/hook_embed"] = numpy_of(tracer.gradients(logits[-1, target]))["hook_embed"].copy()
    tracer.close()
    return arrays, loss.item(), target


def numbers(exact: np.ndarray, rounded: np.ndarray) -> dict[str, float]:
    """What is stored of a whole tensor; masked scores, which are -inf, left out."""
    seen = np.isfinite(exact)
    exact, rounded = exact[seen], rounded[seen]
    return {"spread": float(np.ptp(exact)), "float32_error": float(np.abs(rounded - exact).max()),
            "sum": float(exact.sum()), "sum_of_squares": float((exact * exact).sum())}


def sample(name: str, value: np.ndarray) -> np.ndarray:
    """The part that is stored."""
    if name == "logits":
        return np.ascontiguousarray(value[POSITIONS, ::VOCAB_STEP])
    if name.endswith(("hook_attn_scores", "hook_pattern")):
        return np.ascontiguousarray(value[:, -1].astype(np.float32))
    return value.ravel()[::ELEMENT_STEP].astype(np.float32)


def make_small(folder: Path, versions: dict) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    model = build()
    ids = rng.integers(0, model.config.vocab_size, LENGTH).tolist()
    # The float32 run needs the id of the double run's target; both choose the same where the best logit is well ahead.
    rounded, rounded_loss, guess = run(model, ids, None)
    exact, loss, target = run(model.double(), ids, None)
    assert guess == target
    best = np.sort(exact["logits"], axis=-1)[:, -2:]
    sites = {name: numbers(value, rounded[name]) for name, value in exact.items()}
    facts = {"about": "GPT-2 small's shape, weights from a seed", "made_with": versions, "seed": SEED, "ids": ids,
             "positions": POSITIONS, "vocab_step": VOCAB_STEP, "element_step": ELEMENT_STEP,
             "argmax": exact["logits"].argmax(-1).tolist(), "argmax_margin": (best[:, 1] - best[:, 0]).tolist(),
             "target": {"position": LENGTH - 1, "id": target}, "loss": loss, "loss_float32_error": abs(loss - rounded_loss)}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items()]
    table = ",\n".join(f"  {json.dumps(name)}: {json.dumps(site)}" for name, site in sites.items())
    (folder / "expected.json").write_text("{\n" + ",\n".join(lines) + ",\n \"sites\": {\n" + table + "\n }\n}\n")
    save_file({name: sample(name, value) for name, value in exact.items()}, folder / "expected.safetensors")
    worst = max(site["float32_error"] / site["spread"] for site in sites.values())
    return (f"{NAME}: logits: spread {sites['logits']['spread']:.2f}, float32 error "
            f"{sites['logits']['float32_error'] / sites['logits']['spread']:.1e} of it; worst site {worst:.1e}")
