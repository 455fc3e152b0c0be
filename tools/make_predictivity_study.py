#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes examples/predictivity/: sentences in stories, and made-up responses whose truth is known.

Each of 18 neuroids of 3 subjects is a random direction of the demo model's residual stream after block 3 at the sentence's last token, as
transformers computes it, plus noise of the same variance: its ceiling is r = sqrt(1/2).
Needs torch, transformers and tokenizers:

    python3 tools/make_predictivity_study.py
"""

import csv
import pathlib
import random

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

import demo_sentences

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "predictivity"
DEMO = ROOT / "models" / "demo"
STORIES, SENTENCES, SUBJECTS, NEUROIDS, BLOCK = 40, 4, 3, 6, 3


def features(stories):
    """The residual stream after BLOCK at each sentence's last token, given the sentences before it."""
    model = GPT2LMHeadModel.from_pretrained(DEMO, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    rows = []
    for story in stories:
        for end in range(1, len(story) + 1):
            ids = tokenizer.encode(" ".join(story[:end]), add_special_tokens=False).ids
            with torch.no_grad():
                states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            rows.append(states[BLOCK + 1][0, -1].double().numpy())
    return np.array(rows)


def main():
    rng = random.Random(5)
    stories = [[demo_sentences.draw(rng).text.strip() for _ in range(SENTENCES)] for _ in range(STORIES)]
    x = features(stories)
    x = (x - x.mean(0)) / x.std(0)
    noise = np.random.default_rng(5)
    signal = x @ noise.normal(size=(x.shape[1], SUBJECTS * NEUROIDS))
    y = signal / signal.std(0) + noise.normal(size=signal.shape)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "stimuli.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["text", "group"])
        table.writerows([text, f"story {i + 1}"] for i, story in enumerate(stories) for text in story)
    with open(FOLDER / "responses.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        subjects = [f"S{q // NEUROIDS + 1}" for q in range(SUBJECTS * NEUROIDS)]
        table.writerow(["stimulus"] + [f"{subject}.{q % NEUROIDS}" for q, subject in enumerate(subjects)])
        table.writerow(["subject"] + subjects)
        table.writerow(["ceiling"] + ["0.7071"] * len(subjects))
        table.writerows([i + 1] + [f"{value:.3f}" for value in row] for i, row in enumerate(y))
    print(len(x), "stimuli,", y.shape[1], "neuroids in", FOLDER)


main()
