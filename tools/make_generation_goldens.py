#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/goldens/generation.json: what transformers' generate() chooses under each option that decides it.

The models are tests/goldens/plain and the bundled one (for texts), in double precision. Transformers has no presence and
frequency penalties: they are written here from their published formula, logit - count * frequency - (count > 0) * presence,
over generated tokens. Needs torch and transformers:

    python3 tools/make_generation_goldens.py
"""

import collections
import json
import pathlib

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel, LogitsProcessor, LogitsProcessorList
from transformers.generation import logits_process as warpers

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARGIN = 1e-3  # by which the chosen token leads, and a filter's threshold may move: float32 cannot change the choice
PROMPT = [100, 3]


class Penalties(LogitsProcessor):
    def __init__(self, presence, frequency, prompt):
        self.presence, self.frequency, self.prompt = presence, frequency, prompt

    def __call__(self, ids, scores):
        scores = scores.clone()
        for row, sequence in zip(scores, ids.tolist()):
            for token, count in collections.Counter(sequence[self.prompt :]).items():
                row[token] -= count * self.frequency + self.presence
        return scores


def load(folder):
    return GPT2LMHeadModel.from_pretrained(ROOT / folder, dtype=torch.float64).eval()


def generated(model, prompt, presence=0.0, frequency=0.0, **options):
    """Greedy ids, and log-probabilities of the unprocessed logits."""
    extra = LogitsProcessorList([Penalties(presence, frequency, len(prompt))]) if presence or frequency else None
    found = model.generate(torch.tensor([prompt]), do_sample=False, pad_token_id=0, return_dict_in_generate=True,
                           output_scores=True, output_logits=True, logits_processor=extra, use_cache=True, **options)
    for scores in found.scores:
        best = scores[0].topk(2).values
        assert best[0] - best[1] > MARGIN, "choose another prompt: two tokens are nearly equal"
    ids = found.sequences[0, len(prompt) :].tolist()
    return ids, [logits[0].log_softmax(-1) for logits in found.logits]


def greedy_cases(model):
    plain, _ = generated(model, PROMPT, max_new_tokens=12, eos_token_id=None)
    settings = [
        {},
        {"repetition_penalty": 1.4},
        {"repetition_penalty": 0.5},
        {"presence": 3.0},
        {"frequency": 0.25},
        {"presence": -0.5, "frequency": 0.8, "repetition_penalty": 1.3},
        {"bad_words_ids": [[63], [21, 21], [PROMPT[1], 21]]},
        {"bad_words_ids": [[63, 63], [63, 21], [7, 9]]},
        {"eos_token_id": [117, 46], "repetition_penalty": 1.4},
        {"eos_token_id": [21], "min_new_tokens": 7},
        {"eos_token_id": [63, 21], "min_new_tokens": 3, "repetition_penalty": 1.1, "bad_words_ids": [[46]]},
    ]
    cases = []
    for options in settings:
        given = dict(options)
        options = {"eos_token_id": None} | options
        ids, log_probabilities = generated(model, PROMPT, max_new_tokens=12, **options)
        assert options == {"eos_token_id": None} or ids != plain, f"{options} have no effect"
        cases.append({"options": given, "ids": ids,
                      "log_probabilities": [float(p[i]) for i, p in zip(ids, log_probabilities)],
                      "top_ids": [p.topk(3).indices.tolist() for p in log_probabilities],
                      "top_log_probabilities": [p.topk(3).values.tolist() for p in log_probabilities]})
    return cases


def filtered(logits, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0):
    """In the order of transformers' _get_logits_processor."""
    scores = warpers.TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        scores = warpers.TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = warpers.TopPLogitsWarper(top_p)(None, scores)
    if min_p > 0:
        scores = warpers.MinPLogitsWarper(min_p)(None, scores)
    if typical_p < 1:
        scores = warpers.TypicalLogitsWarper(typical_p)(None, scores)
    return scores.softmax(-1)[0]


def filter_cases(model):
    logits = model(torch.tensor([PROMPT])).logits[:, -1].detach()
    settings = [
        {"min_p": 0.02},
        {"min_p": 0.1, "temperature": 3.0},
        {"typical_p": 0.7, "temperature": 2.0},
        {"typical_p": 0.3, "temperature": 4.0},
        {"typical_p": 0.6, "top_k": 25, "temperature": 3.0},
        {"min_p": 0.1, "top_p": 0.7, "temperature": 3.0},
        {"min_p": 0.02, "typical_p": 0.35, "top_k": 40, "top_p": 0.9, "temperature": 2.5},
        {"min_p": 0.1, "typical_p": 0.5, "top_k": 60, "top_p": 0.9, "temperature": 2.5},
    ]
    cases = []
    for options in settings:
        p = filtered(logits, **options)
        for factor in (1 - MARGIN, 1 + MARGIN):
            moved = {k: v * factor if k.endswith("_p") else v for k, v in options.items()}
            assert ((filtered(logits, **moved) > 0) == (p > 0)).all(), f"{options} is near a threshold"
        kept = [i for i, x in enumerate(p.tolist()) if x > 0]
        cases.append({"options": options, "kept": kept, "probabilities": [float(p[i]) for i in kept]})
        assert 1 < len(kept) < len(p), f"{options} keeps {len(kept)}"
    return cases


def text_cases():
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models/demo")
    model = load("models/demo")
    cases = []
    keys, boy = "The keys to the cabinet", "One day the boy"
    for prompt, stops in ((keys, ["ry o"]), (keys, ["a is T", "never"]), (keys, ["net are"]), (keys, ["the cab"]),
                          (boy, ["he old m", "nd the old man,"]), (boy, [" and", ", a"])):
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        fresh, _ = generated(model, ids, max_new_tokens=24, eos_token_id=None, stop_strings=stops, tokenizer=tokenizer)
        cases.append({"prompt": ids, "stop_strings": stops, "ids": fresh, "text": tokenizer.decode(fresh)})
    return cases


def beam_cases(model):
    """Of a prompt of its own, whose beams differ; both precisions must agree."""
    single = GPT2LMHeadModel.from_pretrained(ROOT / "tests/goldens/plain").eval()
    prompt = [5, 9, 2]
    settings = [
        {"num_beams": 3, "num_return_sequences": 3},
        {"num_beams": 1},
        {"num_beams": 5, "num_return_sequences": 2, "eos_token_id": [110]},
        {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": [110, 35, 21], "length_penalty": 2.0},
        {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": [110, 35, 21], "length_penalty": -1.0},
        {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": [110, 35, 21], "early_stopping": True},
        {"num_beams": 3, "num_return_sequences": 2, "eos_token_id": [35, 21], "early_stopping": "never",
         "length_penalty": 0.0},
        {"num_beams": 3, "num_return_sequences": 2, "eos_token_id": [35, 21], "early_stopping": "never",
         "length_penalty": 0.7},
        {"num_beams": 3, "num_return_sequences": 3, "eos_token_id": [110, 35], "min_new_tokens": 4,
         "repetition_penalty": 1.3, "bad_words_ids": [[115], [110, 110]]},
    ]
    cases = []
    for given in settings:
        runs = [m.generate(torch.tensor([prompt]), do_sample=False, pad_token_id=0, max_new_tokens=10,
                           return_dict_in_generate=True, output_scores=True, **({"eos_token_id": None} | given))
                for m in (model, single)]
        assert (runs[0].sequences == runs[1].sequences).all(), f"{given}: two beams are nearly equal"
        beams = []
        for i, sequence in enumerate(runs[0].sequences[:, len(prompt):].tolist()):
            ends = [k for k, token in enumerate(sequence) if token in given.get("eos_token_id", [])]
            beams.append({"ids": sequence[: ends[0] + 1] if ends else sequence})
            if given["num_beams"] > 1:
                beams[-1]["score"] = float(runs[0].sequences_scores[i])
        cases.append({"options": given, "beams": beams})
    return {"prompt": prompt, "cases": cases}


def main():
    torch.manual_seed(0)
    plain = load("tests/goldens/plain")
    found = {"prompt": PROMPT, "greedy": greedy_cases(plain), "filters": filter_cases(plain), "texts": text_cases(),
             "beams": beam_cases(plain)}
    lines = [f"{json.dumps(key)}: " + json.dumps(value).replace('{"', '\n  {"') for key, value in found.items()]
    (ROOT / "tests/goldens/generation.json").write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
