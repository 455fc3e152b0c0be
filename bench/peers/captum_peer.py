#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Captum on the saliency rows of `vitrine bench`, over transformers' GPT-2. Needs: pip install torch transformers captum

Grad x Input and integrated gradients (Gauss-Legendre, from zero) of one logit with respect to the embeddings. Captum runs all points as
one batch. peer.py says how to run both sides.
"""

from __future__ import annotations

import captum
import torch
from captum.attr import InputXGradient, IntegratedGradients
from transformers import GPT2LMHeadModel

import peer


def saliency(report: peer.Report, batch: int, model) -> None:
    args = report.args
    ids = peer.some_tokens(args, batch, args.prompt)
    target = int(ids[0, 0])
    embeddings = model.transformer.wte(ids).detach()

    def logit(inputs: torch.Tensor) -> torch.Tensor:
        return model(inputs_embeds=inputs, use_cache=False, logits_to_keep=1).logits[:, -1, target]

    def run_forward() -> torch.Tensor:
        with torch.no_grad():
            return logit(embeddings)

    def gradient() -> torch.Tensor:
        return InputXGradient(logit).attribute(embeddings.requires_grad_(True))

    def integrate() -> torch.Tensor:
        return IntegratedGradients(logit).attribute(embeddings, n_steps=peer.IG_POINTS, method="gausslegendre")

    peer.require_finite(gradient(), "gradients")
    report.measure("saliency", peer.saliency_shape(batch, args.prompt, "forward"), None, run_forward)
    report.measure("saliency", peer.saliency_shape(batch, args.prompt, "Grad x Input"), None, gradient)
    if batch == 1:
        peer.require_finite(integrate(), "integrated gradients")
        report.measure("saliency", peer.saliency_shape(batch, args.prompt, f"IG {peer.IG_POINTS} points"), None, integrate)


def main() -> None:
    args = peer.parse_args(__doc__, ["saliency"], ["none"])
    report = peer.Report(f"Captum {captum.__version__}", args)
    model = GPT2LMHeadModel.from_pretrained(args.model, dtype=peer.DTYPES[args.dtype]).to(args.device).eval().requires_grad_(False)
    for batch in args.batch:
        saliency(report, batch, model)
    report.write()


if __name__ == "__main__":
    main()
