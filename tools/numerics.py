#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures every mode's rounding error at every site against a double-precision run, beside transformers' own.

    python3 tools/numerics.py --mode cpu:f32=build/cli/vitrine --mode cuda:bf16=build/cli/vitrine > table.md

A mode is DEVICE:DTYPE=COMMAND, the command being a built `vitrine`. The models are the bundled demo and GPT-2 small's shape with
weights from a seed. An error is the largest absolute difference from transformers in double precision with the weights as they are in
the file, as a share of the largest minus the smallest value of the site; for a kind of site, the worst of its layers.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer, GPT2LMHeadModel

import golden_small
from golden_trace import Trace, numpy_of

ROOT = Path(__file__).resolve().parent.parent
TEXT = ("Heathrow airport is located in the city of London. The keys to the cabinet are on the table, and the old dog "
        "slept by the door while the rain fell on the roof of the house.")
TORCH_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def kind(site: str) -> str:
    """The site without its layer."""
    return site.split(".", 2)[2] if site.startswith("blocks.") else site


def reference(folder: Path, ids: list[int], dtype: torch.dtype) -> dict[str, np.ndarray]:
    model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager", torch_dtype=dtype).eval()
    trace = Trace(model)
    with torch.no_grad():
        model(torch.tensor([ids]), use_cache=False, output_attentions=True)
    values = {name: tensor.double() for name, tensor in trace.values(with_result=False).items()}
    trace.close()
    return numpy_of(values)


def captured(command: str, device: str, dtype: str, folder: Path, ids: list[int]) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "all.safetensors"
        subprocess.run([command, "capture", "-m", str(folder), "--device", device, "--dtype", dtype, "--ids", ",".join(map(str, ids)),
                        "--capture", "*", "-o", str(out)], check=True, stdout=subprocess.DEVNULL)
        return {name: array.astype(np.float64) for name, array in load_file(out).items()}


def errors(got: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> dict[str, float]:
    worst: dict[str, float] = {}
    for site, want in exact.items():
        have = next((array for name, array in got.items() if name in (site, site + ".0")), None)  # a map's name has its sequence
        if have is None:
            continue
        have = have.reshape(want.shape)
        seen = np.isfinite(want)
        spread = np.ptp(want[seen])
        if spread > 0:
            worst[kind(site)] = max(worst.get(kind(site), 0.0), float(np.abs(have[seen] - want[seen]).max() / spread))
    return worst


def models(work: Path) -> list[tuple[str, Path, list[int]]]:
    small = work / "gpt2-small-random"
    golden_small.build().save_pretrained(small)
    generator = np.random.default_rng(1)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models" / "demo")
    return [("the demo model, 48 tokens of English", ROOT / "models" / "demo", tokenizer(TEXT)["input_ids"][:48]),
            ("GPT-2 small's shape, random weights, 48 random tokens", small, generator.integers(0, 50257, 48).tolist())]


def print_table(title: str, columns: dict[str, dict[str, float]]) -> None:
    print(f"### {title}\n")
    print("| site | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for site in next(iter(columns.values())):
        print(f"| {site} | " + " | ".join(f"{column[site]:.1e}" if site in column else "" for column in columns.values()) + " |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mode", action="append", required=True, metavar="DEVICE:DTYPE=COMMAND")
    modes = parser.parse_args().mode
    with tempfile.TemporaryDirectory() as work:
        for title, folder, ids in models(Path(work)):
            exact = reference(folder, ids, torch.float64)
            columns = {f"transformers {name}": errors(reference(folder, ids, dtype), exact) for name, dtype in TORCH_TYPES.items()}
            for mode in modes:
                name, command = mode.split("=", 1)
                device, dtype = name.rsplit(":", 1)
                columns[f"{device} {dtype}"] = errors(captured(command, device, dtype, folder, ids), exact)
            print_table(title, columns)


if __name__ == "__main__":
    main()
