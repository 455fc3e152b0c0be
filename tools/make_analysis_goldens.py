#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/*.json: what the lens and the score are on checkpoints of tests/goldens, in double precision.

An implementation of its own, in NumPy and plain formulas; it shares no code with the engine. Before anything is written its
residual stream is checked against expected.safetensors, which transformers made. Needs numpy and safetensors:

    python3 tools/make_analysis_goldens.py
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ["plain", "untied"]
MIN_GAP = 1e-3  # between a logit that is ranked and its neighbours: float32 rounding cannot change the rank


def layernorm(x, weight, bias, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * weight + bias


def gelu_new(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


class Model:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        assert self.config["activation_function"] == "gelu_new" and self.config["scale_attn_weights"]
        tensors = load_file(folder / "model.safetensors")
        self.w = {name.removeprefix("transformer."): value.astype(np.float64) for name, value in tensors.items()}
        self.unembedding = self.w.get("lm_head.weight", self.w["wte.weight"]).T

    def residuals(self, ids):
        """h_0 .. h_L, each [T, D]."""
        c, w = self.config, self.w
        heads, epsilon = c["n_head"], c["layer_norm_epsilon"]
        x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]
        stream = [x]
        mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
        for n in range(c["n_layer"]):
            p = {k.removeprefix(f"h.{n}."): v for k, v in w.items() if k.startswith(f"h.{n}.")}
            a = layernorm(x, p["ln_1.weight"], p["ln_1.bias"], epsilon)
            q, k, v = np.split(a @ p["attn.c_attn.weight"] + p["attn.c_attn.bias"], 3, -1)
            parts = []
            for q_h, k_h, v_h in zip(np.split(q, heads, -1), np.split(k, heads, -1), np.split(v, heads, -1)):
                parts.append(softmax(q_h @ k_h.T / np.sqrt(q_h.shape[-1]) + mask) @ v_h)
            x = x + np.concatenate(parts, -1) @ p["attn.c_proj.weight"] + p["attn.c_proj.bias"]
            a = layernorm(x, p["ln_2.weight"], p["ln_2.bias"], epsilon)
            x = x + gelu_new(a @ p["mlp.c_fc.weight"] + p["mlp.c_fc.bias"]) @ p["mlp.c_proj.weight"] + p["mlp.c_proj.bias"]
            stream.append(x)
        return stream

    def final(self, h):
        return layernorm(h, self.w["ln_f.weight"], self.w["ln_f.bias"], self.config["layer_norm_epsilon"])

    def logits(self, ids):
        return self.final(self.residuals(ids)[-1]) @ self.unembedding


def rank(logits, token):
    own = logits[token]
    others = np.delete(logits, token)
    assert np.abs(others - own).min() > MIN_GAP, "a rank that rounding could change: choose other ids"
    return int(1 + (others > own).sum())


def lens(model, ids, mode, watch, top_k):
    stream = model.residuals(ids)
    last = len(stream) - 1
    targets = ids[1:] + [int(model.logits(ids)[-1].argmax())]
    cells = []
    for layer in range(1 if mode == "ecco" else 0, last + 1):
        h = stream[layer] if mode == "ecco" and layer < last else model.final(stream[layer])
        for position, logits in enumerate(h @ model.unembedding):
            log_p = log_softmax(logits)
            order = np.argsort(-logits)[: top_k + 1]
            assert (-np.diff(logits[order])).min() > MIN_GAP
            cells.append({
                "layer": layer,
                "position": position,
                "target": [rank(logits, targets[position]), log_p[targets[position]]],
                "watch": [[rank(logits, token), log_p[token]] for token in watch],
                "top": [[int(token), log_p[token]] for token in order[:top_k]],
                "entropy": float(-(np.exp(log_p) * log_p).sum()),
            })
    return {"mode": mode, "ids": ids, "watch": watch, "targets": targets, "top_k": top_k, "cells": cells}


def score(model, ids, window, stride, prepend):
    """By the definition, a token at a time: no window is shared between tokens."""
    text = ([prepend] if prepend is not None else []) + ids
    scores = []
    for t in range(1, len(text)):
        # The first window that has t among its successors: begin + 1 <= t <= begin + window.
        begin = 0 if t <= window else -(-(t - window) // stride) * stride
        logits = model.logits(text[begin:t])[-1]
        scores.append({"position": t - (prepend is not None), "context": t - begin, "loss": float(-log_softmax(logits)[text[t]])})
    return {"ids": ids, "window": window, "stride": stride, "prepend": -1 if prepend is None else prepend, "scores": scores}


def check(model, folder):
    expected = load_file(folder / "expected.safetensors")
    for i, sequence in enumerate(json.loads((folder / "expected.json").read_text())["sequences"]):
        stream = model.residuals(sequence["ids"])
        for n in range(model.config["n_layer"]):
            wanted = expected[f"seq{i}/blocks.{n}.hook_resid_post"]
            assert np.abs(stream[n + 1] - wanted).max() < 2e-6 * np.abs(wanted).max(), (folder.name, i, n)
        assert np.abs(model.logits(sequence["ids"]) - expected[f"seq{i}/logits"]).max() < 1e-10, (folder.name, i)


def main():
    out = ROOT / "tests" / "analysis" / "goldens"
    out.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        folder = ROOT / "tests" / "goldens" / case
        model = Model(folder)
        check(model, folder)
        vocab, context = model.config["vocab_size"], model.config["n_positions"]
        rng = np.random.default_rng(7)

        def draw(count):
            return [int(x) for x in rng.integers(0, vocab, count)]

        def until_clear(make):
            for _ in range(1000):
                try:
                    return make()
                except AssertionError:
                    pass
            raise SystemExit("no ids without near ties")

        golden = {
            "lens": [until_clear(lambda: lens(model, draw(6), mode, draw(2), 3)) for mode in ("normalized", "ecco")],
            "score": [
                score(model, draw(context), context, context, None),
                score(model, draw(3 * context + 5), context, context // 2, None),
                score(model, draw(2 * context + 1), 5, 5, None),
                score(model, draw(2 * context), 7, 3, 1),
                score(model, draw(9), context, 1, 0),
            ],
        }
        (out / f"{case}.json").write_text(json.dumps(golden) + "\n")
        print(case, "written")


if __name__ == "__main__":
    main()
