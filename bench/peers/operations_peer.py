#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Single operations by NVIDIA's libraries through PyTorch: matrix products with their bias and GELU (cuBLASLt's own epilogues where PyTorch
has them) and causal attention (cuDNN's where it has it), on the rows `linear` and `attention` of `vitrine bench`. Needs: pip install torch

peer.py says how to run both sides.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import torch
import torch.nn.functional as F

import peer

WEIGHTS = 2**27  # bytes of different weights that are walked through, so that no repetition finds its own in a cache


def timed(report: peer.Report, work, seconds: float = 0.01) -> float:
    """Of one call, from as many as take about `seconds`."""
    once = report.seconds_of(work)
    count = max(1, min(1000, int(seconds / max(once, 1e-6))))
    return report.seconds_of(lambda: [work() for _ in range(count)]) / count


def linear(report: peer.Report, config: dict, rows: int) -> None:
    args, d = report.args, config["n_embd"]
    inner = config.get("n_inner") or 4 * d
    options = {"dtype": peer.DTYPES[args.dtype], "device": args.device}
    for name, inputs, outputs in (("qkv", d, 3 * d), ("out", d, d), ("mlp_in", d, inner), ("mlp_out", inner, d), ("unembedding", d, config["vocab_size"])):
        layers = max(1, min(config["n_layer"], WEIGHTS // (2 * inputs * outputs)))
        weights = [torch.randn(outputs, inputs, **options) / inputs**0.5 for _ in range(layers)]
        bias, x, residual = torch.randn(outputs, **options), torch.randn(rows, inputs, **options), torch.randn(rows, outputs, **options)
        turn = iter(range(10**9))

        def run(x=x, weights=weights, bias=bias, residual=residual, name=name, turn=turn):
            weight = weights[next(turn) % len(weights)].T
            if name == "mlp_in":  # the product with bias and GELU as one call of cuBLASLt
                return torch._addmm_activation(bias, x, weight, use_gelu=True)
            if name in ("out", "mlp_out"):
                return torch.addmm(bias, x, weight).add_(residual)
            return x @ weight if name == "unembedding" else torch.addmm(bias, x, weight)
        with torch.no_grad():
            peer.require_finite(run(), f"results of {name}")
            report.measure_by("linear", f"{name} x {rows}", None, lambda run=run: timed(report, run))


def attention(report: peer.Report, config: dict, batch: int) -> None:
    args, heads = report.args, config["n_head"]
    shape = (batch, heads, args.prompt, config["n_embd"] // heads)
    q, k, v = (torch.randn(shape, dtype=peer.DTYPES[args.dtype], device=args.device) for _ in range(3))
    from torch.nn.attention import SDPBackend, sdpa_kernel
    ways = {"cuDNN": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION} if args.device != "cpu" else {"": None}
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=True)
    for name, backend in ways.items():
        with torch.no_grad(), sdpa_kernel(backend) if backend else contextlib.nullcontext():
            def run():
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)
            peer.require(bool((run().double() - exact).abs().max() < 0.05), f"{name} attention agrees with double precision")
            report.measure_by("attention", peer.forward_shape(batch, args.prompt) + (f" {name}" if name else ""), None, lambda: timed(report, run))


def main() -> None:
    args = peer.parse_args(__doc__, ["linear", "attention"], ["none"], rows=True)
    report = peer.Report(f"PyTorch {torch.__version__}, single operations", args)
    config = json.loads((Path(args.model) / "config.json").read_text())
    torch.manual_seed(1)
    for rows in args.rows if "linear" in args.workload else []:
        linear(report, config, rows)
    for batch in args.batch if "attention" in args.workload else []:
        attention(report, config, batch)
    report.write()


if __name__ == "__main__":
    main()
