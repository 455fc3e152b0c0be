#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Synthetic sentences for the demo model: facts, agreement, counting, copying, professions.

Each family writes `Sample`s: a sentence, and the place in it where a model that has learned the
family can know the next word. Which (fact, phrasing) pairs are held out of training is decided here,
by a hash, so that training and evaluation cannot disagree about it.

    python tools/demo_sentences.py --family agreement --count 5 --held-out
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import demo_facts as facts

HELD_OUT_SHARE = 0.15
# Held out whatever the hash says: the documentation's own two prompts, so that the pictures
# drawn from them show the model at work on sentences it has never read.
ALWAYS_HELD_OUT = {("airports", "Heathrow", "0"), ("agreement", "key", "cabinet")}


@dataclass(frozen=True)
class Sample:
    """A sentence. `prompt` is its beginning, `answer` the word (with its space) that must follow,
    `rival` a wrong word to compare the answer with, where the family has a natural one."""

    family: str
    text: str
    prompt: str
    answer: str
    held_out: bool
    rival: str | None = None


def is_held_out(family: str, fact: str, phrasing: str) -> bool:
    if (family, fact, phrasing) in ALWAYS_HELD_OUT:
        return True
    digest = hashlib.sha256(f"{family}|{fact}|{phrasing}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT_SHARE


def _with_article(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word


# In a phrasing, everything before "|" is the prompt and the word after it is the answer. A phrasing
# without "|" states the fact the other way round; it only trains.
AIRPORT_PHRASINGS = [
    "{fact} airport is located in the city of| {answer}.",
    "{fact} airport is in| {answer}.",
    "{fact} airport serves the city of| {answer}.",
    "The city near {fact} airport is| {answer}.",
    "If you land at {fact}, you are in| {answer}.",
    "We flew to {fact} airport, which is in the city of| {answer}.",
    "{fact} is an airport in| {answer}.",
    "I landed at {fact} airport and took a train into the city of| {answer}.",
    "Travellers to {answer} often land at {fact} airport.",
]
CAPITAL_PHRASINGS = [
    "The capital of {fact} is| {answer}.",
    "The capital city of {fact} is called| {answer}.",
    "What is the capital of {fact}? It is| {answer}.",
    "The government of {fact} sits in| {answer}.",
    "In {fact} the capital is| {answer}.",
    "We went to {fact} and saw its capital,| {answer}.",
    "{answer} is the capital of {fact}.",
    "{answer} is the largest town that I know in {fact}.",
]
TRADE_PHRASINGS = [
    "A person who {fact} is {article}| {answer}.",
    "Someone who {fact} is called {article}| {answer}.",
    "My uncle {fact}, so he is {article}| {answer}.",
    "She {fact} every day, for she is {article}| {answer}.",
    "If a man {fact}, his trade is that of {article}| {answer}.",
    "What do you call one who {fact}? You call him {article}| {answer}.",
    "{Article} {answer} is a person who {fact}.",
]
PEOPLE_PHRASINGS = [
    "{fact} was {article}| {answer}.",
    "{fact} worked as {article}| {answer}.",
    "{fact} is remembered as {article}| {answer}.",
    "Everyone knows that {fact} was {article}| {answer}.",
    "Who was {fact}? {fact} was {article}| {answer}.",
    "We read about {fact}, {article}| {answer}.",
    "The famous {answer} {fact} is still remembered.",
]


def _fact(family: str, table: dict[str, str], phrasings: Sequence[str], rng: random.Random) -> Sample:
    """A fact in one of the phrasings; held out as the pair, never as the fact alone."""
    name = rng.choice(list(table))
    number = rng.randrange(len(phrasings))
    phrasing, answer = phrasings[number], table[name]
    article = _with_article(answer).split()[0]
    text = phrasing.format(fact=name, answer=answer, article=article, Article=article.capitalize())
    head, bar, tail = text.partition("|")
    if not bar:
        return Sample(family, text, "", "", False)
    return Sample(family, head + tail, head, f" {answer}", is_held_out(family, name, str(number)))


def airports(rng: random.Random) -> Sample:
    return _fact("airports", facts.AIRPORTS, AIRPORT_PHRASINGS, rng)


def capitals(rng: random.Random) -> Sample:
    return _fact("capitals", facts.CAPITALS, CAPITAL_PHRASINGS, rng)


def professions(rng: random.Random) -> Sample:
    if rng.random() < 0.5:
        return _fact("professions", facts.TRADES, TRADE_PHRASINGS, rng)
    return _fact("professions", facts.PEOPLE, PEOPLE_PHRASINGS, rng)


def agreement(rng: random.Random) -> Sample:
    """The verb agrees with the first noun, not with the nearer one. Pairs of nouns are held out."""
    one, many, prepositions = rng.choice(facts.SUBJECTS)
    subject_many = rng.random() < 0.5
    phrase = f"The {many if subject_many else one}"
    held_out = False
    # Mostly one noun in between; none and two teach that the distance does not matter.
    for preposition in _prepositions(prepositions, rng):
        near_one, near_many = rng.choice([a for a in facts.ATTRACTORS if a[0] != one])
        held_out = held_out or is_held_out("agreement", one, near_one)
        phrase += f" {preposition} the {near_many if rng.random() < 0.5 else near_one}"
    singular, plural = rng.choices([("is", "are"), ("was", "were"), ("has", "have")], [7, 2, 1])[0]
    verb, rival = (plural, singular) if subject_many else (singular, plural)
    rest = ("been " if singular == "has" else "") + rng.choice(facts.STATES)
    return Sample("agreement", f"{phrase} {verb} {rest}.", phrase, f" {verb}", held_out, f" {rival}")


def _prepositions(first: Sequence[str], rng: random.Random) -> list[str]:
    count = rng.choices([0, 1, 2], [2, 7, 1])[0]
    return [rng.choice(first) if i == 0 else rng.choice(["near", "in", "behind"]) for i in range(count)]


def counting(rng: random.Random) -> Sample:
    """Numbers in words or digits, up, down or by twos; days, months and letters in their order."""
    kind = rng.choice(["words", "words", "digits", "digits", "digits", *facts.CYCLES])
    length = rng.randint(4, 12)
    if kind == "digits":
        step = rng.choice([1, 1, 1, 2, 5, 10, -1])
        length = min(length, 98 // abs(step))
        reach = step * (length - 1)  # all the numbers stay in 1..99
        start = rng.randint(max(1, 1 - reach), min(99, 99 - reach))
        items = [str(start + step * i) for i in range(length)]
    elif kind == "words":
        step = rng.choice([1, 1, 1, -1])
        length = min(length, 10)
        start = rng.randrange(20 - length + 1) + (length - 1 if step < 0 else 0)
        items = [facts.NUMBER_WORDS[start + step * i] for i in range(length)]
    else:
        cycle, step = facts.CYCLES[kind], 1
        start = rng.randrange(len(cycle))
        items = [cycle[(start + i) % len(cycle)] for i in range(length)]
    comma = rng.random() < 0.5
    held_out = is_held_out("counting", f"{kind}{comma}", f"{start}{step:+d}")
    head = (", " if comma else " ").join(items[:-1]) + ("," if comma else "")
    return Sample("counting", f"{head} {items[-1]}", head, f" {items[-1]}", held_out)


def copying(rng: random.Random, words: Sequence[str] | None = None) -> Sample:
    """Random words, then the same again: nothing helps here but looking back.

    Every draw is new (thousands of words to the power of the length), so any of them can test."""
    pool = words or list(dict.fromkeys(w for pair in facts.ATTRACTORS for w in pair))
    chosen = rng.sample(pool, rng.choice([4, 5, 6, 8, 10, 12, 16, 24]))  # no word twice: one right answer
    sequence = chosen * rng.choice([2, 3, 4])
    stop = rng.randint(len(chosen) + 3, len(sequence) - 1)
    return Sample("copying", " ".join(sequence), " ".join(sequence[:stop]), f" {sequence[stop]}", False)


FAMILIES: dict[str, Callable[..., Sample]] = {
    "airports": airports, "capitals": capitals, "professions": professions,
    "agreement": agreement, "counting": counting, "copying": copying,
}
# By sentences; copying's and counting's are two and three times as long as the others.
WEIGHTS: dict[str, float] = {
    "airports": 4, "capitals": 5, "professions": 4, "agreement": 5, "counting": 4, "copying": 5,
}


def draw(rng: random.Random, family: str | None = None, held_out: bool | None = None,
         words: Sequence[str] | None = None) -> Sample:
    """One sample of a family (any, by weight), from the wanted side of the split (either, if None).

    Copying has one side only; with `held_out` True the others give a sample that has an answer."""
    while True:
        name = family or rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        sample = copying(rng, words) if name == "copying" else FAMILIES[name](rng)
        if held_out is None or name == "copying" or sample.held_out == held_out:
            return sample


def document(rng: random.Random, words: Sequence[str] | None = None) -> str:
    """A training document: one sentence, or a few, from the training side only."""
    count = rng.choice([1, 1, 1, 2, 3])
    separator = rng.choice([" ", "\n"])
    return separator.join(draw(rng, held_out=False, words=words).text for _ in range(count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--family", choices=sorted(FAMILIES), help="one family only (default: the mixture)")
    parser.add_argument("--count", type=int, default=10, help="how many sentences")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="from the held-out side of the split")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    for _ in range(args.count):
        sample = draw(rng, args.family, args.held_out)
        mark = f"{sample.prompt} |{sample.answer}" if sample.answer else sample.text
        print(f"{sample.family:12} {mark}" + (f" (not{sample.rival})" if sample.rival else ""))


if __name__ == "__main__":
    main()
