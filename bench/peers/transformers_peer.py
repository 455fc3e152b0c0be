#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hugging Face transformers on the workloads of `vitrine bench`. Needs: pip install torch transformers

forward: all logits; prefill: the last ones. With hooks residual, output_hidden_states; with maps, output_attentions (eager attention, which keeps them).
decode: greedy, with its key/value cache. saliency: the gradient of one logit with respect to the embeddings. peer.py says how to run
both sides; --compile puts torch.compile around the model, --static decodes into a cache of fixed size with a compiled step (its best setting on a
GPU, where CUDA graphs are part of it).
"""

from __future__ import annotations

import torch
import transformers
from transformers import DynamicCache, GPT2LMHeadModel, StaticCache

import peer


def load(args, attention: str):
    model = GPT2LMHeadModel.from_pretrained(args.model, dtype=peer.DTYPES[args.dtype], attn_implementation=attention)
    return model.to(args.device).eval().requires_grad_(False)


def forward(report: peer.Report, workload: str, batch: int, model, eager) -> None:
    args = report.args
    ids = peer.some_tokens(args, batch, args.prompt)
    common = {"use_cache": False, "logits_to_keep": 1 if workload == "prefill" else 0}  # 0: all
    ways = {"none": (model, {}), "residual": (model, {"output_hidden_states": True}), "maps": (eager, {"output_attentions": True})}
    for hooks in args.hooks:
        used, options = ways[hooks]
        with torch.no_grad():
            result = used(ids, **common, **options)
            peer.require_finite(result.logits, "logits")
            if hooks == "residual":
                peer.require(len(result.hidden_states) == model.config.n_layer + 1, "every residual state was kept")
            if hooks == "maps":
                peer.require(result.attentions[0] is not None, "every attention map was kept")
            report.measure(workload, peer.forward_shape(batch, args.prompt), hooks, lambda: used(ids, **common, **options))


@torch.no_grad()
def generate(model, ids: torch.Tensor, count: int) -> torch.Tensor:
    cache = DynamicCache()
    found = []
    step = ids
    for _ in range(count):
        logits = model(step, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        step = logits[:, -1].argmax(dim=-1, keepdim=True)
        found.append(step)
    return torch.cat(found, dim=1)


class StaticDecoder:
    """Greedy tokens by a step that is compiled once for a batch; the cache is reset and used again."""

    def __init__(self, model, length: int) -> None:
        self.model, self.cache = model, StaticCache(config=model.config, max_cache_len=length)
        self.step = torch.compile(self.logits, mode="reduce-overhead", fullgraph=True)

    def logits(self, ids: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        return self.model(ids, past_key_values=self.cache, use_cache=True, position_ids=position[None], logits_to_keep=1).logits

    @torch.no_grad()
    def generate(self, ids: torch.Tensor, count: int) -> torch.Tensor:
        self.cache.reset()
        past = ids.shape[1]
        step = self.logits(ids, torch.arange(past, device=ids.device))[:, -1].argmax(dim=-1, keepdim=True)
        found = [step]
        position = torch.tensor([past], device=ids.device)
        for _ in range(count - 1):
            step = self.step(step, position)[:, -1].argmax(dim=-1, keepdim=True).clone()
            position = position + 1
            found.append(step)
        return torch.cat(found, dim=1)


def decode(report: peer.Report, batch: int, model) -> None:
    args = report.args
    ids = peer.some_tokens(args, batch, args.decode_prompt)
    with torch.no_grad():
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=args.tokens, min_new_tokens=args.tokens, do_sample=False,
                                pad_token_id=model.config.eos_token_id, eos_token_id=None)
    peer.require(torch.equal(theirs[:, args.decode_prompt:], generate(model, ids, args.tokens)), "greedy tokens are those of generate()")

    @torch.no_grad()
    def next_tokens(seen: torch.Tensor) -> torch.Tensor:
        return model(seen, use_cache=False, logits_to_keep=1).logits[:, -1].argmax(dim=-1)
    if args.static:
        torch.compiler.reset()
        return peer.measure_decode(report, batch, StaticDecoder(model, args.decode_prompt + args.tokens + 1).generate, next_tokens)
    peer.measure_decode(report, batch, lambda prompt, count: generate(model, prompt, count), next_tokens)


def saliency(report: peer.Report, batch: int, model) -> None:
    args = report.args
    ids = peer.some_tokens(args, batch, args.prompt)
    target = int(ids[0, 0])

    def run_forward() -> torch.Tensor:
        with torch.no_grad():
            return model(ids, use_cache=False, logits_to_keep=1).logits

    def run_gradient() -> torch.Tensor:
        embeddings = model.transformer.wte(ids).detach().requires_grad_(True)
        logits = model(inputs_embeds=embeddings, use_cache=False, logits_to_keep=1).logits
        (gradient,) = torch.autograd.grad(logits[:, -1, target].sum(), embeddings)
        return gradient

    peer.require_finite(run_forward(), "logits")
    gradient = run_gradient()
    peer.require_finite(gradient, "gradients")
    peer.require(bool((gradient != 0).any()), "gradients are not all zero")
    report.measure("saliency", peer.saliency_shape(batch, args.prompt, "forward"), None, run_forward)
    report.measure("saliency", peer.saliency_shape(batch, args.prompt, "Grad x Input"), None, run_gradient)


def main() -> None:
    args = peer.parse_args(__doc__, ["forward", "prefill", "decode", "saliency"], ["none", "residual", "maps"], compiles=True, static=True)
    how = ", static cache, torch.compile" if args.static else ", torch.compile" if args.compile else ""
    report = peer.Report(f"transformers {transformers.__version__}{how}", args)
    model = load(args, "sdpa")
    eager = load(args, "eager") if "maps" in args.hooks else None
    if args.compile:
        model.forward = torch.compile(model.forward, dynamic=True)
    for batch in args.batch:
        for workload in ("forward", "prefill"):
            if workload in args.workload:
                forward(report, workload, batch, model, eager)
        if "decode" in args.workload:
            decode(report, batch, model)
        if "saliency" in args.workload:
            saliency(report, batch, model)
    report.write()


if __name__ == "__main__":
    main()
