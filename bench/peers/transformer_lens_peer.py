#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TransformerLens on the forward passes of `vitrine bench`. Needs: pip install torch transformers "transformer_lens>=4"

Hooks: none is a pass alone; residual keeps blocks.0.hook_resid_pre and every hook_resid_post, maps every hook_pattern, everything is
run_with_cache() of all names, which leaves out hook_result and the split inputs, both off by default there. peer.py says how to run both sides.
"""

from __future__ import annotations

import importlib.metadata

import torch
from transformer_lens.model_bridge import TransformerBridge

import peer

NAMES = {
    "residual": lambda name: name == "blocks.0.hook_resid_pre" or name.endswith(".hook_resid_post"),
    "maps": lambda name: name.endswith("attn.hook_pattern"),
    "everything": None,
}


def forward(report: peer.Report, batch: int, model) -> None:
    args = report.args
    ids = peer.some_tokens(args, batch, args.prompt)
    layers = model.cfg.n_layers
    wanted = {"residual": layers + 1, "maps": layers}
    with torch.no_grad():
        plain = model(ids)
        peer.require_finite(plain, "logits")
        for hooks in args.hooks:
            if hooks == "none":
                report.measure("forward", peer.forward_shape(batch, args.prompt), hooks, lambda: model(ids))
                continue
            logits, cache = model.run_with_cache(ids, names_filter=NAMES[hooks])
            peer.require(torch.allclose(logits, plain, rtol=1e-2, atol=1e-2), "the logits are the same with hooks and without")
            peer.require(len(cache) == wanted.get(hooks, len(cache)), "every site was kept")
            del logits, cache
            report.measure("forward", peer.forward_shape(batch, args.prompt), hooks, lambda: model.run_with_cache(ids, names_filter=NAMES[hooks]))


def main() -> None:
    args = peer.parse_args(__doc__, ["forward"], ["none", "residual", "maps", "everything"])
    report = peer.Report(f"TransformerLens {importlib.metadata.version('transformer_lens')}", args)
    model = TransformerBridge.boot_transformers(args.model, device=args.device, dtype=peer.DTYPES[args.dtype])
    for batch in args.batch:
        forward(report, batch, model)
    report.write()


if __name__ == "__main__":
    main()
