#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the demo model from its own files: facts held out of training, prose, and the lens pictures.

Plain PyTorch in float32 on the float16 weights; prints Markdown, as the model card has it.

    python tools/eval_demo.py --model models/demo --corpus children.txt.xz
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

import demo_data
import demo_facts as facts
import demo_sentences as sentences
from demo_model import GPT2, load_pretrained

LENS_PROMPTS = [
    ("Heathrow airport is located in the city of", [" London", " Paris"]),
    ("The keys to the cabinet", [" are", " is"]),
]


def rank(logits: Tensor, token: int) -> int:
    """1 + the number of tokens whose logit is strictly greater."""
    return 1 + int((logits > logits[token]).sum())


def last_logits(model: GPT2, prompts: list[list[int]]) -> Tensor:
    """The logits after each prompt. What is padded on the right cannot be seen from the left."""
    out = []
    for i in range(0, len(prompts), 50):
        batch = prompts[i:i + 50]
        ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
        for row, prompt in zip(ids, batch, strict=True):
            row[:len(prompt)] = torch.tensor(prompt)
        last = torch.tensor([len(p) - 1 for p in batch])
        x = model.residuals(ids)[-1][torch.arange(len(batch)), last]
        out.append(model.unembed(model.transformer.ln_f(x)))
    return torch.cat(out)


def family_samples(family: str, held_out: bool, count: int, seed: int) -> list[sentences.Sample]:
    """Distinct prompts from one side of the split; fewer than `count` where the side has fewer."""
    rng = random.Random(f"evaluation {seed} {family} {held_out}")
    found: dict[str, sentences.Sample] = {}
    for _ in range(20 * count):
        sample = sentences.draw(rng, family, held_out)
        if sample.answer and len(found) < count:
            found[sample.prompt] = sample
    return list(found.values())


def accuracy(model: GPT2, tokenizer: Tokenizer, samples: list[sentences.Sample]) -> tuple[float, float]:
    """Shares of the prompts after which the answer is the likeliest token of all, and is likelier
    than its rival (nan where the family has none)."""
    logits = last_logits(model, [tokenizer.encode(s.prompt).ids for s in samples])
    first, above = 0, []
    for row, sample in zip(logits, samples, strict=True):
        answer = tokenizer.encode(sample.answer).ids[0]
        first += int(row.argmax()) == answer
        if sample.rival:
            above.append(bool(row[answer] > row[tokenizer.encode(sample.rival).ids[0]]))
    return first / len(samples), sum(above) / len(above) if above else math.nan


def distracted(sample: sentences.Sample) -> bool:
    """Whether the noun nearest to the verb would ask for the other form of it."""
    many = {pair[1] for pair in facts.ATTRACTORS}
    nouns = many | {pair[0] for pair in facts.ATTRACTORS}
    found = [w in many for w in sample.prompt.split() if w in nouns]
    return found[0] != found[-1]


def report_families(model: GPT2, tokenizer: Tokenizer, count: int, seed: int) -> None:
    print("| family | held-out prompts | answer ranked first | above its rival | the same on trained prompts |")
    print("|---|---|---|---|---|")
    for family in [*sentences.FAMILIES, "agreement, distracted"]:
        sides = []
        for held_out in (True, False):
            samples = family_samples(family.split(",")[0], held_out, count, seed)
            sides.append([s for s in samples if "," not in family or distracted(s)])
        (first, above), (seen, _) = (accuracy(model, tokenizer, side) for side in sides)
        rival = "" if math.isnan(above) else f"{above:.1%}"
        print(f"| {family} | {len(sides[0])} | {first:.1%} | {rival} | {seen:.1%} |", flush=True)


def report_prose(model: GPT2, tokenizer: Tokenizer, corpus: Path, windows: int) -> None:
    """Windows of the full context laid end to end, each token after a window's first scored once."""
    length = model.config.n_positions
    documents = demo_data.prose(corpus)[1]
    loss, tokens, size = 0.0, 0, 0
    for document in documents:
        ids = tokenizer.encode(document).ids
        starts = range(0, len(ids) - length, length)
        for start in starts[:max(1, windows // len(documents))]:
            row = torch.tensor(ids[start:start + length])
            loss += float(F.cross_entropy(model(row[None])[0, :-1], row[1:], reduction="sum"))
            tokens += length - 1
            size += len(tokenizer.decode(row[1:].tolist()).encode())
    print(f"Prose: {len(documents)} held-out documents, {tokens} tokens, {size} bytes: {loss / tokens:.3f} nats "
          f"a token (perplexity {math.exp(loss / tokens):.1f}), {loss / size:.3f} nats "
          f"({loss / size / math.log(2):.3f} bits) a byte.", flush=True)


def report_lens(model: GPT2, tokenizer: Tokenizer) -> None:
    """The rank and probability of each watched token after the prompt, at each layer, in both readings."""
    for prompt, watched in LENS_PROMPTS:
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        states = [h[0, -1] for h in model.residuals(ids)]
        tokens = [tokenizer.encode(word).ids[0] for word in watched]
        print(f"\n`{prompt}`\n\n| layer | " + " | ".join(
            f"`{w}` normalized (probability) | `{w}` ecco" for w in watched) + " | likeliest |")
        print("|---" * (2 + 2 * len(watched)) + "|")
        for layer, state in enumerate(states):
            normalized = model.unembed(model.transformer.ln_f(state))
            ecco = normalized if layer == len(states) - 1 else model.unembed(state)
            cells = [str(layer)]
            for token in tokens:
                cells.append(f"{rank(normalized, token)} ({normalized.softmax(0)[token]:.4f})")
                cells.append(str(rank(ecco, token)) if layer else "")
            print("| " + " | ".join(cells) + f" | `{tokenizer.decode([int(normalized.argmax())])}` |")


def report_generation(model: GPT2, tokenizer: Tokenizer, prompt: str, length: int, seed: int) -> None:
    """Samples at temperature 0.8 from the 40 likeliest tokens."""
    generator = torch.Generator().manual_seed(seed)
    ids = tokenizer.encode(prompt).ids
    for _ in range(length):
        logits, tokens = model(torch.tensor([ids[-model.config.n_positions:]]))[0, -1].topk(40)
        ids.append(int(tokens[torch.multinomial((logits / 0.8).softmax(0), 1, generator=generator)]))
    print(f"\n> {tokenizer.decode(ids)}", flush=True)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--corpus", type=Path, help="the prose; without it the prose is not measured")
    parser.add_argument("--count", type=int, default=500, help="prompts a family, at most")
    parser.add_argument("--windows", type=int, default=800, help="windows of prose")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_pretrained(args.model)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    report_lens(model, tokenizer)
    print()
    report_families(model, tokenizer, args.count, args.seed)
    print()
    if args.corpus:
        report_prose(model, tokenizer, args.corpus, args.windows)
    for prompt in ["Once upon a time there was", "The little girl looked", "Heathrow airport is", "The keys to"]:
        report_generation(model, tokenizer, prompt, 60, args.seed)


if __name__ == "__main__":
    main()
