#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/lens_*.json and tuned_*/: tuned lens, divergences, lenses of attention and MLP outputs, rankings, the fit
of translators, and the surprisal of words. transformers runs the models in double precision; the fit is NumPy's least squares on the
stacked system, not the normal equations. Needs torch, transformers, tokenizers, numpy and safetensors:

    python3 tools/make_lens_goldens.py
"""

import hashlib
import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "analysis" / "goldens"
MIN_GAP = 1e-3  # between a logit that is ranked and its neighbours: float32 rounding cannot change the rank


class Model:
    def __init__(self, folder):
        self.m = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").double().eval()
        self.config = self.m.config

    def run(self, ids):
        """Residual streams h_0..h_L, attention outputs, MLP outputs ([T, D] each) and logits."""
        kept = {}
        t = self.m.transformer
        hooks = [t.ln_f.register_forward_pre_hook(lambda _, args: kept.__setitem__("last", args[0][0]))]
        for n, block in enumerate(t.h):
            hooks.append(block.attn.c_proj.register_forward_hook(lambda *a, n=n: kept.__setitem__(("attention", n), a[2])))
            hooks.append(block.mlp.c_proj.register_forward_hook(lambda *a, n=n: kept.__setitem__(("mlp", n), a[2])))
        with torch.no_grad():
            out = self.m(torch.tensor([ids]), output_hidden_states=True)
        for hook in hooks:
            hook.remove()
        layers = range(self.config.n_layer)
        size = (len(ids), self.config.n_embd)
        return {
            "residual": [h[0] for h in out.hidden_states[:-1]] + [kept["last"]],
            "attention": [kept["attention", n].reshape(size) for n in layers],
            "mlp": [kept["mlp", n].reshape(size) for n in layers],
            "log_p": torch.log_softmax(out.logits[0], -1),
        }

    def unembed(self, h, normalize):
        with torch.no_grad():
            return self.m.lm_head(self.m.transformer.ln_f(h) if normalize else h)


def unembed_hash(model):
    """As the package tuned-lens has it: the unembedding as NumPy prints it, to one decimal."""
    weight = model.m.lm_head.weight.detach().float().numpy()
    return hashlib.sha256(np.array_str(weight, precision=1).encode()).hexdigest()


def kl(log_p, log_q):
    return torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)


def rank(logits, token):
    others = torch.cat([logits[:token], logits[token + 1:]])
    assert (others - logits[token]).abs().min() > MIN_GAP, "a rank that rounding could change: choose other ids"
    return int(1 + (others > logits[token]).sum())


def rows_of(model, found, mode, of, translators):
    """(layer, logits [T, V]) of each row."""
    last = model.config.n_layer
    if of != "residual":
        return [(n + 1, model.unembed(h, mode != "ecco")) for n, h in enumerate(found[of])]
    rows = []
    for layer, h in enumerate(found["residual"]):
        if mode == "ecco" and layer == 0:
            continue
        if mode == "tuned" and layer < last:
            weight, bias = translators[layer]
            h = h + torch.nn.functional.linear(h, weight, bias)
        rows.append((layer, model.unembed(h, mode != "ecco" or layer == last)))
    return rows


def lens(model, ids, mode, of, translators):
    found = model.run(ids)
    targets = ids[1:] + [int(found["log_p"][-1].argmax())]
    cells = []
    for layer, logits in rows_of(model, found, mode, of, translators):
        log_q = torch.log_softmax(logits, -1)
        divergence = kl(found["log_p"], log_q)
        for p, target in enumerate(targets):
            cells.append([layer, p, rank(logits[p], target), float(log_q[p, target]), float(divergence[p])])
    return {"mode": mode, "of": of, "ids": ids, "cells": cells}


def rankings(model, prompt, count):
    ids = list(prompt)
    cells = []
    for step in range(count):
        found = model.run(ids)
        top = found["log_p"][-1].topk(2).values
        assert top[0] - top[1] > MIN_GAP
        chosen = int(found["log_p"][-1].argmax())
        for layer, logits in rows_of(model, found, "normalized", "residual", None):
            cells.append([layer, step, rank(logits[-1], chosen), float(torch.log_softmax(logits[-1], -1)[chosen])])
        ids.append(chosen)
    return {"prompt": prompt, "ids": ids, "cells": cells}


def fit(model, texts, every, alpha):
    train = [t for i, t in enumerate(texts) if (i + 1) % every]
    held = [t for i, t in enumerate(texts) if (i + 1) % every == 0]
    runs = [model.run(t)["residual"] for t in train]
    last = torch.cat([r[-1] for r in runs]).numpy()
    w = 1 / (last.var(-1) + model.config.layer_norm_epsilon)
    arrays, translators = {}, []
    for layer in range(model.config.n_layer):
        h = torch.cat([r[layer] for r in runs]).numpy()
        width = h.shape[1]
        mean = (w[:, None] * h).sum(0) / w.sum()
        penalty = alpha * (w[:, None] * (h - mean) ** 2).sum(0).mean()
        top = np.sqrt(w)[:, None] * np.c_[h, np.ones(len(h))]
        below = np.sqrt(penalty) * np.eye(width, width + 1)
        solution = np.linalg.lstsq(np.r_[top, below], np.r_[np.sqrt(w)[:, None] * (last - h), np.zeros((width, width))], rcond=None)[0]
        weight, bias = solution[:-1].T.astype(np.float32), solution[-1].astype(np.float32)
        arrays[f"{layer}.weight"], arrays[f"{layer}.bias"] = np.ascontiguousarray(weight), bias
        translators.append((torch.tensor(weight).double(), torch.tensor(bias).double()))
    sums = {}
    for text in held:
        found = model.run(text)
        log_p, after = found["log_p"][:-1], torch.tensor(text[1:])[:, None]
        sums.setdefault("model", []).append(-log_p.gather(1, after))
        for mode in ("normalized", "tuned"):
            for layer, logits in rows_of(model, found, mode, "residual", translators)[:-1]:
                log_q = torch.log_softmax(logits[:-1], -1)
                sums.setdefault((layer, mode, "loss"), []).append(-log_q.gather(1, after))
                sums.setdefault((layer, mode, "kl"), []).append(kl(log_p, log_q)[:, None])
    means = {key: float(torch.cat(parts).mean()) for key, parts in sums.items()}
    rows = [[means[n, "normalized", "loss"], means[n, "tuned", "loss"], means[n, "normalized", "kl"], means[n, "tuned", "kl"]]
            for n in range(model.config.n_layer)]
    return arrays, {"texts": texts, "every": every, "alpha": alpha, "rows": rows, "model_loss": means["model"]}


def token_bytes(tokenizer):
    """GPT-2's byte-level alphabet, undone."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(b): b for b in kept}
    for i, b in enumerate(b for b in range(256) if b not in kept):
        letters[chr(256 + i)] = b
    found = {}
    for token, i in tokenizer.get_vocab().items():
        found[i] = bytes(letters[c] for c in token) if all(c in letters for c in token) else token.encode()
    return found


def words(model, tokenizer, text, prepend):
    ids, end = tokenizer.encode(text).ids, tokenizer.token_to_id("<|endoftext|>")
    of = token_bytes(tokenizer)
    assert b"".join(of[i] for i in ids) == text.encode()
    front = [end] if prepend else []
    log_p = model.run(front + ids)["log_p"]
    row = {t: log_p[t + len(front) - 1] for t in range(len(ids) + 1) if t + len(front) > 0}  # what is said about token t
    mask = torch.tensor([i == end or of.get(i, b"x").decode("utf-8", "replace")[:1].isspace() for i in range(log_p.shape[1])])

    begin, spans = 0, []
    for i in ids:
        spans.append((begin, begin + len(of[i])))
        begin += len(of[i])
    result, at = [], 0
    for word in text.split():
        raw = word.encode()
        start = text.encode().index(raw, at)
        at = start + len(raw)
        behind = result[-1][-1] if result else 0
        own = [t for t in range(behind, len(ids)) if spans[t][0] < at]
        if own[0] not in row:
            result.append([word, own[0], len(own), None, None, own[-1] + 1])
            continue
        plain = -sum(float(row[t][ids[t]]) for t in own)
        before_mask = ~mask if own[0] == 0 and not text[0].isspace() else mask
        moved = plain + float(row[own[0]][before_mask].logsumexp(0)) - float(row[own[-1] + 1][mask].logsumexp(0))
        result.append([word, own[0], len(own), plain, moved, own[-1] + 1])
    rest = -sum(float(row[t][ids[t]]) for t in range(result[-1][-1], len(ids)))
    return {"text": text, "prepend": prepend, "words": [r[:-1] for r in result], "rest": rest}


def until_clear(make):
    for _ in range(1000):
        try:
            return make()
        except AssertionError:
            pass
    raise SystemExit("no ids without near ties")


def main():
    for case in ["plain", "untied"]:
        torch.manual_seed(3)
        rng = np.random.default_rng(11)
        model = Model(ROOT / "tests" / "goldens" / case)
        width, layers = model.config.n_embd, model.config.n_layer

        def draw(count):
            return [int(x) for x in rng.integers(0, model.config.vocab_size, count)]

        folder = OUT / f"tuned_{case}"
        folder.mkdir(parents=True, exist_ok=True)
        params = {}
        for n in range(layers):
            weight = (0.2 * torch.randn(width, width)).half()
            params[f"{n}.weight"] = weight.t() if case == "untied" else weight  # a view whose columns lie together
            params[f"{n}.bias"] = (0.3 * torch.randn(width)).half()
        torch.save(params, folder / "params.pt")
        config = {"base_model_name_or_path": case, "d_model": width, "num_hidden_layers": layers, "bias": True, "base_model_revision": None,
                  "unembed_hash": unembed_hash(model), "lens_type": "linear_tuned_lens"}
        (folder / "config.json").write_text(json.dumps(config) + "\n")
        translators = [(params[f"{n}.weight"].double(), params[f"{n}.bias"].double()) for n in range(layers)]
        kinds = [("normalized", "residual"), ("ecco", "residual"), ("tuned", "residual"), ("normalized", "attention"), ("ecco", "attention"),
                 ("normalized", "mlp"), ("ecco", "mlp")]
        golden = {
            "lens": [until_clear(lambda: lens(model, draw(7), mode, of, translators)) for mode, of in kinds],
            "rankings": until_clear(lambda: rankings(model, draw(4), 5)),
        }
        arrays, golden["fit"] = fit(model, [draw(int(n)) for n in rng.integers(3, model.config.n_positions + 1, 12)], 4, 0.05)
        save_file(arrays, OUT / f"fit_{case}.safetensors")
        (OUT / f"lens_{case}.json").write_text(json.dumps(golden) + "\n")
        print(case, "written")
    demo = ROOT / "models" / "demo"
    model, tokenizer = Model(demo), Tokenizer.from_file(str(demo / "tokenizer.json"))
    texts = ["The keys to the cabinet, said Marguerite, aren't on the table.\n\nWell-known  tunes\u00a0play on. \n", " Heathrow airport is in London"]
    golden = [words(model, tokenizer, text, prepend) for text in texts for prepend in (True, False)]
    (OUT / "words_demo.json").write_text(json.dumps(golden) + "\n")
    print("words written")


if __name__ == "__main__":
    main()
