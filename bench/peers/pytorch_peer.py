#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GPT-2 in plain PyTorch, without a framework around it, on the workloads of `vitrine bench`. Needs: pip install torch safetensors

What PyTorch's own operations reach: fused attention, addmm, a key/value cache of fixed size that is written in place. peer.py says how to
run both sides; --compile puts torch.compile around the pass.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import peer


class Gpt2:
    """Functions on a checkpoint's tensors, in the layout that Hugging Face stores: matrices [in, out]."""

    def __init__(self, args) -> None:
        config = json.loads((Path(args.model) / "config.json").read_text())
        self.layers, self.heads, self.width = config["n_layer"], config["n_head"], config["n_embd"]
        self.epsilon, self.context = config["layer_norm_epsilon"], config["n_positions"]
        files = load_file(Path(args.model) / "model.safetensors", device=args.device)
        self.tensors = {name.removeprefix("transformer."): tensor.to(peer.DTYPES[args.dtype]) for name, tensor in files.items()}

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (self.width,), self.tensors[name + ".weight"], self.tensors[name + ".bias"], self.epsilon)

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        return torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], -1)

    def attention(self, x: torch.Tensor, layer: int, past: int, cache: torch.Tensor | None) -> torch.Tensor:
        batch, rows, _ = x.shape
        q, k, v = self.linear(x, f"h.{layer}.attn.c_attn").reshape(batch, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            cache[layer, 0, :, :, past:past + rows] = k
            cache[layer, 1, :, :, past:past + rows] = v
            k, v = cache[layer, 0, :, :, :past + rows], cache[layer, 1, :, :, :past + rows]
        z = F.scaled_dot_product_attention(q, k, v, is_causal=rows > 1)  # several rows are always the first
        return self.linear(z.transpose(1, 2).reshape(batch, rows, self.width), f"h.{layer}.attn.c_proj")

    def blocks(self, x: torch.Tensor, past: int = 0, cache: torch.Tensor | None = None, keep: list | None = None) -> torch.Tensor:
        """[batch, rows, D] of the residual stream, from the embeddings to the last block's end; each state is put into `keep`."""
        for layer in range(self.layers):
            if keep is not None:
                keep.append(x)
            x = x + self.attention(self.norm(x, f"h.{layer}.ln_1"), layer, past, cache)
            inner = F.gelu(self.linear(self.norm(x, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc"), approximate="tanh")
            x = x + self.linear(inner, f"h.{layer}.mlp.c_proj")
        if keep is not None:
            keep.append(x)
        return x

    def embed(self, ids: torch.Tensor, past: int = 0) -> torch.Tensor:
        return self.tensors["wte.weight"][ids] + self.tensors["wpe.weight"][past:past + ids.shape[1]]

    def unembed(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x, "ln_f") @ self.tensors.get("lm_head.weight", self.tensors["wte.weight"]).T

    def logits(self, ids: torch.Tensor, keep: list | None = None, rows: int = 0) -> torch.Tensor:
        """Of the last `rows` tokens; 0: of all."""
        return self.unembed(self.blocks(self.embed(ids), keep=keep)[:, -rows:])

    def step(self, ids: torch.Tensor, past: int, cache: torch.Tensor) -> torch.Tensor:
        """The greedy tokens after `ids` [batch, 1]."""
        last = self.blocks(self.embed(ids, past), past, cache)[:, -1:]
        return self.unembed(last).argmax(dim=-1)


def forward(report: peer.Report, batch: int, model: Gpt2, workload: str = "forward") -> None:
    args = report.args
    rows = 1 if workload == "prefill" else 0
    ids = peer.some_tokens(args, batch, args.prompt)
    for hooks in args.hooks:
        with torch.no_grad():
            kept: list = []
            peer.require_finite(model.logits(ids, kept, rows), "logits")
            peer.require(len(kept) == model.layers + 1, "every residual state was kept")
            report.measure(workload, peer.forward_shape(batch, args.prompt), hooks, lambda: model.logits(ids, [] if hooks == "residual" else None, rows))


def prefill(report: peer.Report, batch: int, model: Gpt2) -> None:
    forward(report, batch, model, "prefill")


def decode(report: peer.Report, batch: int, model: Gpt2) -> None:
    args = report.args
    shape = (model.layers, 2, batch, model.heads, args.decode_prompt + args.tokens + 1, model.width // model.heads)
    cache = torch.zeros(shape, dtype=peer.DTYPES[args.dtype], device=args.device)

    @torch.no_grad()
    def generate(ids: torch.Tensor, count: int) -> torch.Tensor:
        found, step, past = [], ids, 0
        for _ in range(count):
            rows = step.shape[1]
            step = model.step(step, past, cache)
            past += rows
            found.append(step)
        return torch.cat(found, dim=1)

    @torch.no_grad()
    def next_tokens(ids: torch.Tensor) -> torch.Tensor:
        return model.logits(ids)[:, -1].argmax(dim=-1)
    peer.measure_decode(report, batch, generate, next_tokens)


def saliency(report: peer.Report, batch: int, model: Gpt2) -> None:
    args = report.args
    ids = peer.some_tokens(args, batch, args.prompt)
    target = int(ids[0, 0])

    def last_logits(embeddings: torch.Tensor) -> torch.Tensor:
        return model.unembed(model.blocks(embeddings)[:, -1])

    def run_forward() -> torch.Tensor:
        with torch.no_grad():
            return last_logits(model.embed(ids))

    def run_gradient() -> torch.Tensor:
        embeddings = model.embed(ids).requires_grad_(True)
        (gradient,) = torch.autograd.grad(last_logits(embeddings)[:, target].sum(), embeddings)
        return gradient

    peer.require_finite(run_gradient(), "gradients")
    report.measure("saliency", peer.saliency_shape(batch, args.prompt, "forward"), None, run_forward)
    report.measure("saliency", peer.saliency_shape(batch, args.prompt, "Grad x Input"), None, run_gradient)


def main() -> None:
    args = peer.parse_args(__doc__, ["forward", "prefill", "decode", "saliency"], ["none", "residual"], compiles=True)
    report = peer.Report(f"PyTorch {torch.__version__}" + (", torch.compile" if args.compile else ""), args)
    model = Gpt2(args)
    if args.compile:
        model.blocks = torch.compile(model.blocks, dynamic=True)
    for batch in args.batch:
        for name, measure in (("forward", forward), ("prefill", prefill), ("decode", decode), ("saliency", saliency)):
            if name in args.workload:
                measure(report, batch, model)
    report.write()


if __name__ == "__main__":
    main()
