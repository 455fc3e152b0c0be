#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/attribution_*.json: what patching, ablation, tracing, path patching and direct logit attribution give
on checkpoints of tests/goldens, in double precision.

The models are transformers', changed by PyTorch's hooks, the gradients torch's; nothing is shared with the engine. Every cell is a
whole run of its own. Needs torch and transformers:

    python3 tools/make_attribution_goldens.py
"""

import json
import math
import pathlib

import numpy as np
import torch
from transformers import GPT2LMHeadModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ["plain", "untied", "act_quick_gelu", "no_scale_inverse_layer"]
HEADS = ["q", "k", "v", "z"]
ROWS = ["resid_pre", "resid_post", "attn_out", "mlp_pre", "mlp_post", "mlp_out"]


class Model:
    """A run is a dict of edits, {(point, layer): function of [T, ...]}, in which heads have an axis of their own."""

    def __init__(self, name):
        self.model = GPT2LMHeadModel.from_pretrained(ROOT / "tests" / "goldens" / name, attn_implementation="eager").double().eval()
        c = self.model.config
        self.layers, self.heads, self.width = c.n_layer, c.n_head, c.n_embd
        transformer, into, out = self.model.transformer, "into", "out of"
        self.points = {("embed", 0): (transformer.wte, out)}
        for n, block in enumerate(transformer.h):
            self.points |= {("resid_pre", n): (block, into), ("qkv", n): (block.attn.c_attn, out), ("z", n): (block.attn.c_proj, into),
                            ("attn_out", n): (block.attn, out), ("mlp_pre", n): (block.mlp.c_fc, out), ("mlp_post", n): (block.mlp.c_proj, into),
                            ("mlp_out", n): (block.mlp, out), ("resid_post", n): (block, out)}

    def visit(self, seen, edits, point, value):
        layer, value = point[1], value[0]
        if point[0] == "qkv":
            parts = dict(zip("qkv", value.split(self.width, -1)))
        else:
            parts = {point[0]: value}
        for name, part in parts.items():
            if name in HEADS:
                part = part.view(len(part), self.heads, -1)
            if (name, layer) in edits:
                part = edits[name, layer](part)
            seen[name, layer] = part
            parts[name] = part.reshape(len(part), -1)
        return torch.cat(list(parts.values()), -1)[None]

    def run(self, ids, edits={}):
        """The last position's logits [V], and what was at each point after the edits."""
        seen, handles = {}, []
        for point, (module, side) in self.points.items():
            def before(module, args, kwargs, point=point):
                if args:
                    return (self.visit(seen, edits, point, args[0]), *args[1:]), kwargs
                return args, kwargs | {"hidden_states": self.visit(seen, edits, point, kwargs["hidden_states"])}

            def after(module, args, output, point=point):
                if isinstance(output, tuple):
                    return (self.visit(seen, edits, point, output[0]), *output[1:])
                return self.visit(seen, edits, point, output)

            if side == "into":
                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(after))
        try:
            logits = self.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        finally:
            for handle in handles:
                handle.remove()
        return logits, seen


def metric(task, logits):
    return {"logit-difference": logits[task["answer"]] - logits[task["wrong"]], "logit": logits[task["answer"]],
            "log-prob": logits.log_softmax(-1)[task["answer"]], "prob": logits.softmax(-1)[task["answer"]]}[task["metric"]]


def put(value, index):
    """An edit: the elements of `index` become value's."""
    def edit(x):
        x = x.clone()
        x[index] = value[index]
        return x
    return edit


def columns(model, task, site, over):
    if over == "positions":
        return [(p,) for p in range(len(task["clean"]))]
    return [(slice(None), h) for h in range(model.heads)] if over == "heads" else [(slice(None),)]


def grid(model, ids, task, site, over, values):
    """The metric with values[site, layer] put at each cell."""
    rows = []
    for layer in range(model.layers):
        cells = [{(site, layer): put(values[site, layer], index)} for index in columns(model, task, site, over)]
        rows.append([metric(task, model.run(ids, edits)[0]).item() for edits in cells])
    return rows


def estimates(model, ids, task, site, over, values):
    """(other - base) . d metric / d base"""
    deltas = {}

    def track(layer):
        def edit(x):
            deltas[layer] = torch.zeros_like(x, requires_grad=True)
            return x + deltas[layer]
        return edit

    logits, seen = model.run(ids, {(site, layer): track(layer) for layer in range(model.layers)})
    metric(task, logits).backward()
    rows = []
    for layer in range(model.layers):
        products = (values[site, layer] - seen[site, layer].detach()) * deltas[layer].grad
        rows.append([products[index].sum().item() for index in columns(model, task, site, over)])
    return rows


def patching(model, task):
    clean, corrupt = model.run(task["clean"]), model.run(task["corrupt"])
    result = {"clean": metric(task, clean[0]).item(), "corrupt": metric(task, corrupt[0]).item(), "grids": []}
    for direction, ids, other in (("denoise", task["corrupt"], clean[1]), ("noise", task["clean"], corrupt[1])):
        for site, over in [(s, "positions") for s in ROWS + HEADS] + [(s, "heads") for s in HEADS] + [("mlp_out", "whole")]:
            result["grids"].append({"direction": direction, "site": site, "over": over, "values": grid(model, ids, task, site, over, other),
                                    "estimates": estimates(model, ids, task, site, over, other)})
    return result


def ablations(model, task, others):
    base = metric(task, model.run(task["clean"])[0]).item()
    runs = [model.run(ids)[1] for ids in others]
    clean = model.run(task["clean"])[1]
    values = {
        "zero": {point: torch.zeros_like(x) for point, x in clean.items()},
        "mean": {point: torch.cat([run[point] for run in runs]).mean(0, keepdim=True).expand_as(x) for point, x in clean.items()},
        "resample": runs[0],
    }
    grids = [{"ablation": how, "site": site, "over": over, "values": grid(model, task["clean"], task, site, over, values[how])}
             for how in values for site, over in (("z", "heads"), ("mlp_out", "whole"), ("mlp_post", "positions"))]
    return {"others": others, "value": base, "grids": grids}


def mix64(x):
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    return x ^ (x >> 31)


def noise(seed, draw, rows, width):
    """Standard normal numbers by Box & Muller, from SplitMix64."""
    key = (mix64(mix64(seed) + draw & (1 << 64) - 1))
    unit = lambda i: (mix64(key + i & (1 << 64) - 1) >> 11) * 2.0**-53
    numbers = [math.sqrt(-2 * math.log(1 - unit(2 * i))) * math.cos(2 * math.pi * unit(2 * i + 1)) for i in range(rows * width)]
    return torch.tensor(numbers, dtype=torch.float64).view(rows, width)


def tracing(model, task, subject, draws, factor, seed):
    task = task | {"metric": "log-prob"}
    logits, clean = model.run(task["clean"])
    deviation = factor * clean["embed", 0].std(unbiased=False).item()
    result = {"subject": subject, "draws": draws, "noise": factor, "seed": seed, "deviation": deviation, "clean": metric(task, logits).item(), "grids": []}
    hidden = []
    for draw in range(draws):
        def corrupt(x, draw=draw):
            x = x.clone()
            x[subject] += deviation * noise(seed, draw, len(subject), model.width)
            return x
        hidden.append({("embed", 0): corrupt})
    result["corrupt"] = [metric(task, model.run(task["clean"], edits)[0]).item() for edits in hidden]
    for site, window in (("resid_post", 1), ("mlp_out", 2), ("attn_out", 3)):
        values = []
        for layer in range(model.layers):
            first = layer - (window - 1) // 2
            layers = [n for n in range(first, first + window) if 0 <= n < model.layers]
            values.append([np.mean([metric(task, model.run(task["clean"], edits | {(site, n): put(clean[site, n], (p,)) for n in layers})[0]).item()
                                    for edits in hidden]) for p in range(len(task["clean"]))])
        result["grids"].append({"site": site, "window": window, "values": values})
    return result


def path(model, task, sender, receivers, positions, through_mlps):
    """Noising: the clean run, in which the sender tells the receivers what it is in the corrupt run."""
    (_, clean), (_, corrupt) = model.run(task["clean"]), model.run(task["corrupt"])
    kind, layer, head = sender
    everywhere = (slice(None),)
    held = {("z", n): put(clean["z", n], everywhere) for n in range(model.layers)}
    if not through_mlps:
        held |= {("mlp_out", n): put(clean["mlp_out", n], everywhere) for n in range(model.layers)}
    if kind == "head":
        both = clean["z", layer].clone()
        both[:, head] = corrupt["z", layer][:, head]
        held["z", layer] = put(both, everywhere)
    elif kind == "mlp":
        held["mlp_out", layer] = put(corrupt["mlp_out", layer], everywhere)
    else:
        held["embed", 0] = put(corrupt["embed", 0], everywhere)
    told = model.run(task["clean"], held)[1]

    values, where = {}, {}
    for kind, layer, head in receivers:
        if kind == "final":
            continue
        site = "mlp_pre" if kind == "mlp" else kind
        values.setdefault((site, layer), clean[site, layer].clone())
        index = (positions,) if kind == "mlp" else (positions, head)
        values[site, layer][index] = told[site, layer][index]
        where.setdefault((site, layer), []).append(index)

    def at_all(point):
        def edit(x):
            for index in where[point]:
                x = put(values[point], index)(x)
            return x
        return edit

    edits = {point: at_all(point) for point in values}
    if any(kind == "final" for kind, _, _ in receivers):
        last = ("resid_post", model.layers - 1)
        edits[last] = lambda x: torch.cat([x[:-1], x[-1:] + told[last][-1:] - clean[last][-1:]])
    return metric(task, model.run(task["clean"], edits)[0]).item()


def node(kind, layer=0, head=0):
    return [kind, layer, head]


def path_patching(model, task):
    senders = [node("embed")]
    for n in range(model.layers):
        senders += [node("head", n, h) for h in range(model.heads)] + [node("mlp", n)]
    last, everywhere = model.layers - 1, list(range(len(task["clean"])))
    some = [node("q", last, 0), node("k", last, 1), node("v", last, 2)]
    results = []
    for receivers, positions in (([node("final")], everywhere), (some, everywhere), ([node("v", last, 1), node("mlp", last)], [2, 3, 6]),
                                 ([node("mlp", 0), node("final")], everywhere)):
        for through_mlps in (False, True):
            results.append({"receivers": receivers, "positions": positions, "through_mlps": through_mlps, "senders": senders,
                            "values": [path(model, task, sender, receivers, positions, through_mlps) for sender in senders]})
    return results


def attribution(model, ids, position, target, against):
    weights = dict(model.model.named_parameters())
    logits, seen = model.run(ids[: position + 1])
    unembedding = model.model.lm_head.weight
    token = unembedding[target] - (0 if against is None else unembedding[against])
    final = seen["resid_post", model.layers - 1][-1]
    scale = ((final - final.mean()).square().mean() + model.model.config.layer_norm_epsilon).sqrt()
    direction = model.model.transformer.ln_f.weight * token / scale
    direction = direction - direction.mean()
    result = {"ids": ids, "position": position, "target": target, "against": against, "head": [], "attention_bias": [], "mlp": [], "mlp_bias": [], "neurons": []}
    result["logit"] = (logits[target] - (0 if against is None else logits[against])).item()
    result["embedding"] = (seen["embed", 0][-1] @ direction).item()
    result["position_embedding"] = (weights["transformer.wpe.weight"][position] @ direction).item()
    result["final_bias"] = (model.model.transformer.ln_f.bias @ token).item()
    for n, block in enumerate(model.model.transformer.h):
        outputs = block.attn.c_proj.weight.view(model.heads, -1, model.width)
        result["head"].append([(seen["z", n][-1][h] @ outputs[h] @ direction).item() for h in range(model.heads)])
        result["attention_bias"].append((block.attn.c_proj.bias @ direction).item())
        result["mlp"].append((seen["mlp_out", n][-1] @ direction).item())
        result["mlp_bias"].append((block.mlp.c_proj.bias @ direction).item())
        result["neurons"].append((seen["mlp_post", n][-1] * (block.mlp.c_proj.weight @ direction)).tolist())
    parts = sum(sum(x) for x in result["head"]) + sum(result["attention_bias"]) + sum(result["mlp"])
    parts += result["embedding"] + result["position_embedding"] + result["final_bias"]
    assert abs(parts - result["logit"]) < 1e-10, "the formulas leave something out"
    return result


def main():
    out = ROOT / "tests" / "analysis" / "goldens"
    for name in CASES:
        model = Model(name)
        rng = np.random.default_rng(11)
        vocab = model.model.config.vocab_size
        draw = lambda count: [int(x) for x in rng.choice(vocab, count, replace=False)]
        clean = draw(7)
        corrupt = clean[:2] + draw(2) + clean[4:]
        answer, wrong = draw(2)
        task = {"clean": clean, "corrupt": corrupt, "answer": answer, "wrong": wrong, "metric": "logit-difference"}
        golden = {"task": task, "patching": patching(model, task), "ablations": ablations(model, task, [draw(7), draw(4), draw(5)]),
                  "tracing": tracing(model, task, [1, 2], 2, 3.0, 5), "paths": path_patching(model, task),
                  "attribution": [attribution(model, draw(6), 5, answer, None), attribution(model, draw(8), 3, answer, wrong)]}
        golden["metrics"] = [{"metric": m, "values": [metric(task | {"metric": m}, model.run(ids)[0]).item() for ids in (clean, corrupt)]}
                             for m in ("logit", "log-prob", "prob")]
        (out / f"attribution_{name}.json").write_text(json.dumps(golden) + "\n")
        print(name, "written")


if __name__ == "__main__":
    main()
