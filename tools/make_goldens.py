#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/goldens: what Hugging Face transformers computes on small random GPT-2 checkpoints, in double precision.

Everything follows from seeds; one command makes all of it again:

    python tools/make_goldens.py                 # all cases and the GPT-2-small-shaped one
    python tools/make_goldens.py --only untied   # one case

tests/goldens/README.md says what the files hold and how they are compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from transformers import GPT2LMHeadModel

from golden_cases import CASES, Case, seed_of, write
from golden_small import NAME as SMALL, make_small
from golden_trace import Trace, next_token_loss, numpy_of

NEW_TOKENS = 12
MARGIN = 1e-3  # the best logit leads by at least this at each greedy step, so that no rounding can change the choice


def load(folder: Path, dtype: torch.dtype) -> GPT2LMHeadModel:
    model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager", dtype=dtype).eval()
    if dtype == torch.float64:
        # This branch computes the same formula but in float32 whatever the model's type: the double run leaves it out.
        for block in model.transformer.h:
            block.attn.reorder_and_upcast_attn = False
    return model


def trace(model: GPT2LMHeadModel, ids: list[int], target: int | None, everything: bool) -> tuple[dict, float | None, int]:
    """All tensors of one sequence by their names in the file, the loss, and the id whose logit is the gradients' target."""
    tracer = Trace(model)
    logits = tracer.run(ids)
    target = int(logits[-1].argmax()) if target is None else target
    arrays = numpy_of(tracer.values(with_result=everything))

    def keep(kind: str, gradients: dict) -> None:
        for name, value in numpy_of(gradients).items():
            if everything or name == "hook_embed" or name.endswith("hook_resid_post"):
                arrays[f"{kind}/{name}"] = value

    keep("grad", tracer.gradients(logits[-1, target]))
    loss = None
    if len(ids) > 1:
        mean = next_token_loss(logits, ids)
        loss = mean.item()
        keep("grad_loss", {name: value for name, value in tracer.gradients(mean).items()
                           if name == "hook_embed" or name.endswith("hook_resid_post")})
    tracer.close()
    return arrays, loss, target


def spread(values: list[np.ndarray]) -> float:
    """Largest minus smallest of the finite values."""
    finite = np.concatenate([value[np.isfinite(value)].ravel() for value in values])
    return float(finite.max() - finite.min())


def deviation(single: np.ndarray, double: np.ndarray) -> float:
    finite = np.isfinite(double)
    assert np.array_equal(finite, np.isfinite(single))
    return float(np.abs(single[finite].astype(np.float64) - double[finite]).max())


def run_sequences(case: Case, single: GPT2LMHeadModel, double: GPT2LMHeadModel,
                  rng: np.random.Generator) -> tuple[dict, list, dict]:
    """Tensors to store, the sequences' facts, and each site's spread and float32 error over the sequences."""
    stored, sequences = {}, []
    seen: dict[str, list] = {}
    for index, length in enumerate(case.lengths):
        ids = rng.integers(0, double.config.vocab_size, length).tolist()
        everything = index == case.in_full
        exact, loss, target = trace(double, ids, None, everything)
        rounded, rounded_loss, _ = trace(single, ids, target, everything)
        for name, value in exact.items():
            # float32 holds a value to 2^-24 of itself, less than a float32 run's error; where an error relative to
            # the spread could still be told from rounding (few values, close together), doubles are kept.
            keep_double = name == "logits" or name.endswith("hook_scale")
            stored[f"seq{index}/{name}"] = np.ascontiguousarray(value if keep_double else value.astype(np.float32))
            seen.setdefault(name, []).append((value, deviation(rounded[name], value)))
        facts = {"ids": ids, "target": {"position": length - 1, "id": target}}
        if loss is not None:
            facts |= {"loss": loss, "loss_float32_error": abs(loss - rounded_loss)}
        sequences.append(facts)
    sites = {name: {"spread": spread([value for value, _ in values]), "float32_error": max(error for _, error in values)}
             for name, values in seen.items()}
    return stored, sequences, sites


def greedy(model: GPT2LMHeadModel, prompt: list[int], count: int) -> list[int]:
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count)
    return out[0, len(prompt):].tolist()


def generation(case: Case, single: GPT2LMHeadModel, double: GPT2LMHeadModel, rng: np.random.Generator) -> list[dict]:
    """A greedy continuation for each prompt length; prompts are drawn until one has a clear winner at each step."""
    found = []
    for length in case.prompts:
        count = min(NEW_TOKENS, double.config.n_positions - length + 1)  # the last new token is never fed back
        for _ in range(2000):
            prompt = rng.integers(0, double.config.vocab_size, length).tolist()
            new = greedy(double, prompt, count)
            with torch.no_grad():
                logits = double(torch.tensor([prompt + new[:-1]]), use_cache=False).logits[0, length - 1:]
            best = logits.topk(2).values
            margin = float((best[:, 0] - best[:, 1]).min())
            if logits.argmax(-1).tolist() == new and margin > MARGIN and len(set(new)) > 2:
                break
        else:
            raise RuntimeError(f"{case.name}: no prompt of {length} tokens has a clear greedy continuation")
        assert greedy(single, prompt, count) == new
        found.append({"prompt": prompt, "new": new, "margin": margin})
    return found


def versions() -> dict:
    return {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "numpy": np.__version__}


def make_case(case: Case, folder: Path) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    write(case, folder)
    single, double = load(folder, torch.float32), load(folder, torch.float64)
    rng = np.random.default_rng(seed_of(case) + 1)
    stored, sequences, sites = run_sequences(case, single, double, rng)
    save_file(stored, folder / "expected.safetensors")
    worst = max(site["float32_error"] / site["spread"] for site in sites.values() if site["spread"] > 0)
    facts = {"about": case.about, "made_with": versions(), "float32_error_over_spread": worst, "sequences": sequences,
             "generation": generation(case, single, double, rng)}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items()]
    table = ",\n".join(f"  {json.dumps(name)}: {json.dumps(site)}" for name, site in sites.items())
    (folder / "expected.json").write_text("{\n" + ",\n".join(lines) + ",\n \"sites\": {\n" + table + "\n }\n}\n")
    logits = sites["logits"]
    size = sum(path.stat().st_size for path in folder.iterdir())
    return (f"{case.name:24} {size / 1000:6.0f} kB  logits: spread {logits['spread']:6.2f}, float32 error "
            f"{logits['float32_error'] / logits['spread']:.1e} of it; worst site {worst:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", metavar="CASE", help="one case: " + ", ".join([case.name for case in CASES] + [SMALL]))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "tests" / "goldens")
    args = parser.parse_args()
    names = [case.name for case in CASES] + [SMALL]
    if args.only and args.only not in names:
        parser.error(f"--only {args.only}: no such case; there are {', '.join(names)}")
    torch.set_num_threads(1)  # a fixed order of summation
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for case in CASES:
        if args.only in (None, case.name):
            print(make_case(case, args.out / case.name), flush=True)
    if args.only in (None, SMALL):
        print(make_small(args.out / SMALL, versions()), flush=True)


if __name__ == "__main__":
    main()
