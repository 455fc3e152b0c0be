#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/saliency_*.json: what saliency is on checkpoints of tests/goldens, in double precision.

The models are transformers' and the gradients torch's; nothing is shared with the engine. Grad x Input is Ecco's published formula
(ecco/attribution.py: `torch.norm(grad * inputs_embeds, dim=1)` over its sum), integrated gradients are Captum's IntegratedGradients
(for the trapezoid, whose weights Captum does not make add up to 1 over [0, 1], the formula). Needs torch, transformers and captum:

    python3 tools/make_saliency_goldens.py
"""

import json
import pathlib

import numpy as np
import torch
from captum.attr import IntegratedGradients
from transformers import GPT2LMHeadModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ["plain", "untied", "act_quick_gelu"]
MIN_GAP = 1e-3  # between the target's logit and its neighbours: float32 rounding cannot change the rank
CAPTUM = {"gauss-legendre": "gausslegendre", "left": "riemann_left", "right": "riemann_right"}


class Model:
    def __init__(self, name):
        self.model = GPT2LMHeadModel.from_pretrained(ROOT / "tests" / "goldens" / name, attn_implementation="eager").double().eval()
        self.table = self.model.transformer.wte.weight.detach()

    def logits(self, embeddings):
        """[B, T, D] to those after the last position, [B, V]."""
        return self.model(inputs_embeds=embeddings, use_cache=False).logits[:, -1]

    def f(self, embeddings, step):
        """[B, T, D] to [B]"""
        logits = self.logits(embeddings)
        output = {"logit": logits, "log-prob": logits.log_softmax(-1), "prob": logits.softmax(-1)}[step["value"]]
        value = output[:, step["target"]]
        return value if step["contrast"] is None else value - output[:, step["contrast"]]

    def replacement(self, spec, length):
        """[T, D]"""
        kind = spec["kind"]
        rows = {"zero": lambda: torch.zeros_like(self.table[0]), "mean": lambda: self.table.mean(0), "token": lambda: self.table[spec["token"]],
                "tensor": lambda: torch.tensor(spec["tensor"], dtype=torch.float64)}[kind]()
        return rows.expand(length, -1) if rows.dim() == 1 else rows[:length]


def shares(amounts):
    return (amounts / amounts.sum()).tolist()


def gradient(model, embeddings, step):
    inputs = embeddings.clone().requires_grad_()
    model.f(inputs[None], step)[0].backward()
    return inputs.grad


def grad_x_input(model, embeddings, step):
    product = gradient(model, embeddings, step) * embeddings
    return {"shares": shares(torch.norm(product, dim=1)), "scores": product.sum(1).tolist()}


def gradient_norm(model, embeddings, step):
    norms = torch.norm(gradient(model, embeddings, step), dim=1)
    return {"shares": shares(norms), "scores": norms.tolist()}


def integrated_gradients(model, embeddings, step):
    rule, count = step["rule"], step["steps"]
    baseline = model.replacement(step["baseline"], len(embeddings))
    if rule == "trapezoid":
        at = np.linspace(0, 1, count)
        slopes = torch.stack([gradient(model, baseline + a * (embeddings - baseline), step) for a in at])
        product = torch.from_numpy(np.trapezoid(slopes.numpy(), at, axis=0)) * (embeddings - baseline)
    else:
        captum = IntegratedGradients(lambda x: model.f(x, step))
        product = captum.attribute(embeddings[None], baseline[None], n_steps=count, method=CAPTUM[rule])[0].detach()
    at_baseline = model.f(baseline[None], step).item()
    difference = model.f(embeddings[None], step).item() - at_baseline
    return {"shares": shares(torch.norm(product, dim=1)), "scores": product.sum(1).tolist(), "baseline_value": at_baseline,
            "gap": abs(product.sum().item() - difference)}


def occlusion(model, embeddings, step):
    whole = model.f(embeddings[None], step).item()
    effects = []
    for i in range(len(embeddings)):
        if step["mask"]["kind"] == "delete":
            changed = torch.cat([embeddings[:i], embeddings[i + 1 :]])
        else:
            changed = embeddings.clone()
            changed[i] = model.replacement(step["mask"], len(embeddings))[i]
        effects.append(whole - model.f(changed[None], step).item())
    effects = torch.tensor(effects, dtype=torch.float64)
    return {"shares": shares(effects.abs()), "scores": effects.tolist()}


METHODS = {"grad-x-input": grad_x_input, "gradient-norm": gradient_norm, "integrated-gradients": integrated_gradients, "occlusion": occlusion}


def step_of(model, ids, options):
    """One row of the result: `ids` is the step's input. Without a target, the token ranked first."""
    embeddings = model.table[ids]
    logits = model.logits(embeddings[None])[0].detach()
    target = int(logits.argmax()) if options["target"] is None else options["target"]
    others = torch.cat([logits[:target], logits[target + 1 :]])
    assert (others - logits[target]).abs().min() > MIN_GAP, "a rank that rounding could change: choose other ids"
    step = {**options, "target": target}
    with torch.no_grad():
        value = model.f(embeddings[None], step).item()
    return {"inputs": len(ids), "target": target, "rank": int(1 + (others > logits[target]).sum()), "logit": logits[target].item(),
            "log_prob": logits.log_softmax(-1)[target].item(), "value": value, **METHODS[options["method"]](model, embeddings, step)}


def case(model, prompt, continuation=(), *, method, value="logit", target=None, contrast=None, **more):
    options = {"method": method, "value": value, "contrast": contrast, **more}
    targets = list(continuation) or [target]
    text = prompt + list(continuation)
    results = [step_of(model, text[: len(prompt) + i], {**options, "target": t}) for i, t in enumerate(targets)]
    return {**options, "prompt": prompt, "continuation": list(continuation), "target": target, "results": results}


def cases(model, draw):
    zero, mean = {"kind": "zero"}, {"kind": "mean"}
    width = model.table.shape[1]
    rows = {"kind": "tensor", "tensor": np.random.default_rng(3).standard_normal((6, width)).astype(np.float32).tolist()}
    row = {"kind": "tensor", "tensor": rows["tensor"][0]}
    token = {"kind": "token", "token": 5}
    makes = [
        lambda: case(model, draw(6), method="grad-x-input"),
        lambda: case(model, draw(1), method="grad-x-input", value="log-prob"),
        lambda: case(model, draw(3), draw(4), method="grad-x-input", value="prob"),
        lambda: case(model, draw(3), draw(3), method="grad-x-input", value="log-prob", contrast=9),
        lambda: case(model, draw(5), method="grad-x-input", value="prob", target=7, contrast=11),
        lambda: case(model, draw(4), draw(2), method="gradient-norm", value="prob"),
        lambda: case(model, draw(6), target=20, method="integrated-gradients", rule="gauss-legendre", steps=50, baseline=zero),
        lambda: case(model, draw(3), draw(3), method="integrated-gradients", value="prob", rule="gauss-legendre", steps=7, baseline=mean),
        lambda: case(model, draw(4), method="integrated-gradients", value="log-prob", rule="left", steps=11, baseline=token),
        lambda: case(model, draw(4), contrast=8, method="integrated-gradients", rule="right", steps=5, baseline=row),
        lambda: case(model, draw(6), method="integrated-gradients", rule="trapezoid", steps=6, baseline=rows),
        lambda: case(model, draw(5), draw(2), method="occlusion", mask=zero),
        lambda: case(model, draw(5), method="occlusion", value="log-prob", mask=mean),
        lambda: case(model, draw(4), contrast=3, method="occlusion", value="prob", mask=token),
        lambda: case(model, draw(6), method="occlusion", mask={"kind": "delete"}),
    ]
    for make in makes:
        for _ in range(1000):
            try:
                yield make()
                break
            except AssertionError:
                continue
        else:
            raise SystemExit("no ids without near ties")


def main():
    out = ROOT / "tests" / "analysis" / "goldens"
    for name in CASES:
        model = Model(name)
        rng = np.random.default_rng(11)

        def draw(count):
            return [int(x) for x in rng.integers(0, len(model.table), count)]

        (out / f"saliency_{name}.json").write_text(json.dumps(list(cases(model, draw))) + "\n")
        print(name, "written")


if __name__ == "__main__":
    main()
