#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What storing weights in fewer bits does to the distribution of the next token, against the same model stored as float32.

    python3 tools/storage_error.py --vitrine build/cli/vitrine --text book.txt --models ../shared/data/models > table.md

The models: the bundled demo on windows of the text; those of the folder (gpt-nano-sort on numbers and their order, makemore-names
on names), where it is given; GPT-2 small's shape with weights from a seed, on random tokens. For each way to store: the root mean
square of the logits' differences and the largest, as shares of the standard deviation of the logits within a row; the mean and the largest
KL divergence in nats, from float32's distribution to the other; how often both have the same most likely token; the perplexities, where the tokens are text.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from transformers import AutoTokenizer

import golden_small

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("f16", "bf16", "int8")
NAMES = ("emma olivia ava isabella sophia charlotte mia amelia harper evelyn abigail emily elizabeth mila ella avery sofia camila aria "
         "scarlett victoria madison luna grace chloe penelope layla riley zoey nora lily eleanor hannah lillian addison aubrey ellie "
         "stella natalie zoe leah hazel violet aurora savannah audrey brooklyn bella claire skylar lucy").split()


def logits(command: str, folder: Path, dtype: str, sequences: list[list[int]]) -> np.ndarray:
    """[tokens of all sequences, V]"""
    with tempfile.TemporaryDirectory() as work:
        prompts, out = Path(work) / "prompts.jsonl", Path(work) / "logits.safetensors"
        prompts.write_text("".join(json.dumps({"ids": ids}) + "\n" for ids in sequences))
        subprocess.run([command, "capture", "-m", str(folder), "--dtype", dtype, "--prompt-file", str(prompts), "--capture", "logits",
                        "-o", str(out)], check=True, stdout=subprocess.DEVNULL)
        return load_file(out)["logits"].astype(np.float64)


def log_softmax(rows: np.ndarray) -> np.ndarray:
    shifted = rows - rows.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def perplexity(log_p: np.ndarray, sequences: list[list[int]]) -> float:
    losses, begin = [], 0
    for ids in sequences:
        losses += [-log_p[begin + i, ids[i + 1]] for i in range(len(ids) - 1)]
        begin += len(ids)
    return float(np.exp(np.mean(losses)))


def compare(exact: np.ndarray, got: np.ndarray) -> list[str]:
    difference = (got - got.mean(axis=1, keepdims=True)) - (exact - exact.mean(axis=1, keepdims=True))  # a shift changes nothing
    spread = exact.std(axis=1, keepdims=True)
    share = difference / spread
    log_p, log_q = log_softmax(exact), log_softmax(got)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    same = (exact.argmax(axis=1) == got.argmax(axis=1)).mean()
    return [f"{np.sqrt((share ** 2).mean()):.1e}", f"{np.abs(share).max():.1e}", f"{max(kl.mean(), 0.0):.1e}", f"{max(kl.max(), 0.0):.1e}",
            f"{100 * same:.2f} %"]


def windows(text: Path, tokens: int, count: int) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models" / "demo")
    ids = tokenizer(text.read_text(encoding="utf-8")[: 8 * tokens * count])["input_ids"]
    return [ids[i * tokens:(i + 1) * tokens] for i in range(count)]


def sorting(generator: np.random.Generator, count: int) -> list[list[int]]:
    numbers = generator.integers(0, 3, (count, 6))
    return np.concatenate([numbers, np.sort(numbers, axis=1)[:, :5]], axis=1).tolist()


def models(text: Path, published: Path | None, work: Path) -> list[tuple[str, Path, list[list[int]]]]:
    generator = np.random.default_rng(1)
    found = [("the demo model, 40 x 128 tokens of prose", ROOT / "models" / "demo", windows(text, 128, 40))]
    if published is not None:
        found.append(("gpt-nano-sort, 300 lists", published / "gpt-nano-sort", sorting(generator, 300)))
        letters = [[0] + [ord(letter) - ord("a") + 1 for letter in name] + [0] for name in NAMES]
        found.append((f"makemore-names, {len(NAMES)} names", published / "makemore-names", letters))
    small = work / "gpt2-small-random"
    golden_small.build().save_pretrained(small)
    found.append(("GPT-2 small's shape, random weights, 4 x 64 random tokens", small, generator.integers(0, 50257, (4, 64)).tolist()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vitrine", required=True, help="a built command")
    parser.add_argument("--text", type=Path, required=True, help="English prose")
    parser.add_argument("--models", type=Path, help="the folder of the published models")
    args = parser.parse_args()
    print("| model | stored as | logits, rms | largest | KL, mean | largest | same top-1 | perplexity: f32, stored |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for title, folder, sequences in models(args.text, args.models, Path(work)):
            exact = logits(args.vitrine, folder, "f32", sequences)
            is_text = "prose" in title or "names" in title
            for way in WAYS:
                got = logits(args.vitrine, folder, way, sequences)
                scores = [f"{perplexity(log_softmax(rows), sequences):.4f}" for rows in (exact, got)] if is_text else [""]
                print("| " + " | ".join([title, way, *compare(exact, got), ", ".join(scores)]) + " |", flush=True)


if __name__ == "__main__":
    main()
