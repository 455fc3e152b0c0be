# SPDX-License-Identifier: MIT
"""Text, tokenizer and training rows for the demo model."""

from __future__ import annotations

import lzma
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import demo_facts as facts
import demo_sentences as sentences

END = "<|endoftext|>"
HELD_OUT_EVERY = 32  # every n-th document of the prose is never trained on
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--", "_": None})


def _paragraph(text: str) -> str | None:
    """Joins a hard-wrapped paragraph's lines; None for text other than prose (title pages, rules, lists).

    The lines of verse are short, so they stay lines."""
    if text.startswith("[") or sum(c.islower() for c in text) < 0.6 * len(text):
        return None
    lines = [line.strip() for line in text.split("\n")]
    wrapped = len(lines) > 1 and sum(map(len, lines[:-1])) / (len(lines) - 1) >= 50
    return re.sub(r"[ \t]+", " ", (" " if wrapped else "\n").join(lines))


def prose(corpus: Path) -> tuple[list[str], list[str]]:
    """The cleaned documents: (training, held out)."""
    with lzma.open(corpus, "rt", encoding="utf-8") as file:
        raw = file.read().translate(_QUOTES).split(END)
    documents = []
    for text in raw:
        kept = [p for p in map(_paragraph, re.split(r"\n\s*\n", text.strip())) if p]
        if kept:
            documents.append("\n\n".join(kept))
    held_out = documents[HELD_OUT_EVERY // 2::HELD_OUT_EVERY]
    return [d for i, d in enumerate(documents) if i % HELD_OUT_EVERY != HELD_OUT_EVERY // 2], held_out


def train_tokenizer(documents: list[str], vocab_size: int, seed: int) -> Tokenizer:
    """A byte-level BPE of GPT-2's kind, trained on prose, synthetic sentences and the facts' words."""
    rng = random.Random(seed)

    def texts() -> Iterator[str]:
        for document in documents:
            start = rng.randrange(max(1, len(document) - 40_000))
            yield document[start:start + 40_000]
        for _ in range(10_000):
            yield sentences.document(rng)
        # Often enough that each becomes one token, which a lens needs to follow it.
        yield from [" ".join(["", *facts.single_token_words()])] * 1500

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(texts(), trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    split = [w for w in facts.single_token_words() if len(tokenizer.encode(" " + w).ids) != 1]
    if split:
        raise RuntimeError(f"words that should be one token are several: {split}")
    return tokenizer


def encode(tokenizer: Tokenizer, documents: list[str]) -> np.ndarray:
    """All the documents' tokens in a row, each document closed by the end-of-text token."""
    end = tokenizer.token_to_id(END)
    return np.concatenate([np.array([*e.ids, end], dtype=np.int32) for e in tokenizer.encode_batch(documents)])


class Rows:
    """Training rows. Each step's rows depend on the seed and the step alone, so that a run that was
    stopped goes on with the data it would have seen."""

    def __init__(self, tokenizer: Tokenizer, prose: np.ndarray, length: int, seed: int) -> None:
        self.tokenizer, self.prose, self.length, self.seed = tokenizer, prose, length, seed
        self.end = tokenizer.token_to_id(END)
        # Where a document or a paragraph begins; GPT-2's splitting makes two tokens of an empty line.
        newline = self.prose == tokenizer.encode("\n").ids[0]
        begins = np.flatnonzero((self.prose[1:] == self.end) | (newline[1:] & newline[:-1])) + 2
        self.begins = begins[begins < len(self.prose) - length - 1]
        vocabulary = map(tokenizer.decode, ([i] for i in range(tokenizer.get_vocab_size())))
        self.words = [w[1:] for w in vocabulary if re.fullmatch(" [A-Za-z]{2,}", w)]

    def prose_rows(self, rng: random.Random, count: int) -> np.ndarray:
        """Half of them begin where a paragraph begins, for prompts without anything before them."""
        starts = [int(self.begins[rng.randrange(len(self.begins))]) if rng.random() < 0.5
                  else rng.randrange(len(self.prose) - self.length - 1) for _ in range(count)]
        return np.stack([self.prose[s:s + self.length + 1] for s in starts])

    def synthetic_rows(self, rng: random.Random, count: int, length: int) -> np.ndarray:
        """Each row begins with a sentence's first word, at position 0."""
        rows = np.empty((count, length + 1), dtype=np.int32)
        for row in rows:
            ids: list[int] = []
            while len(ids) <= length:
                words = self.words if rng.random() < 0.7 else None
                ids += [*self.tokenizer.encode(sentences.document(rng, words)).ids, self.end]
            row[:] = ids[:length + 1]
        return rows

    def step(self, step: int, tokens: int, synthetic: float) -> list[np.ndarray]:
        """One step's rows, about `tokens` tokens in all: prose, then synthetic.

        Three in four steps have short synthetic rows: more sentences then stand at position 0."""
        rng = random.Random(f"{self.seed} {step}")
        length = self.length if step % 4 == 0 else self.length // 4
        return [self.prose_rows(rng, round(tokens * (1 - synthetic) / self.length)),
                self.synthetic_rows(rng, round(tokens * synthetic / length), length)]
