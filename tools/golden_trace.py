# SPDX-License-Identifier: MIT
"""One run of a transformers GPT-2 with every activation, and the gradients at them, under the names of Vitrine's sites."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2LMHeadModel


class Trace:
    """Forward hooks on `model` for one sequence. Axes are as in the design's table: no batch axis, heads before width."""

    def __init__(self, model: GPT2LMHeadModel):
        self.model = model
        self.heads = model.config.n_head
        self.kept: dict[str, Tensor] = {}  # tensors of the graph, batch axis and all
        self.handles: list = []
        self._attach()

    def _keep(self, name: str, tensor: Tensor) -> None:
        if tensor.requires_grad:
            tensor.retain_grad()
        self.kept[name] = tensor

    def _on(self, module: torch.nn.Module, look: Callable) -> None:
        self.handles.append(module.register_forward_hook(lambda _, args, out: look(args, out)))

    def _out(self, module: torch.nn.Module, name: str) -> None:
        self._on(module, lambda args, out: self._keep(name, out))

    def _in_out(self, module: torch.nn.Module, before: str, after: str) -> None:
        def look(args: tuple, out: Tensor) -> None:
            self._keep(before, args[0])
            self._keep(after, out)
        self._on(module, look)

    def _attach(self) -> None:
        body = self.model.transformer
        self._out(body.wte, "hook_embed")
        self._out(body.wpe, "hook_pos_embed")
        for layer, block in enumerate(body.h):
            at = f"blocks.{layer}."
            self._in_out(block.ln_1, at + "hook_resid_pre", at + "ln1.hook_normalized")
            self._out(block.attn.c_attn, at + "qkv")
            self._on(block.attn, lambda args, out, at=at: self._keep(at + "attn.hook_pattern", out[1]))
            self._in_out(block.attn.c_proj, at + "attn.hook_z", at + "hook_attn_out")
            self._in_out(block.ln_2, at + "hook_resid_mid", at + "ln2.hook_normalized")
            self._out(block.mlp.c_fc, at + "mlp.hook_pre")
            self._in_out(block.mlp.c_proj, at + "mlp.hook_post", at + "hook_mlp_out")
            self._out(block, at + "hook_resid_post")
        self._out(body.ln_f, "ln_final.hook_normalized")
        self._out(self.model.lm_head, "logits")

    def run(self, ids: list[int]) -> Tensor:
        """Logits [T, V]; the sequence runs alone, without padding or cache."""
        tokens = torch.tensor([ids])
        out = self.model(tokens, labels=tokens, use_cache=False, output_hidden_states=True, output_attentions=True)
        self._check_against_outputs(out, ids)
        return out.logits[0]

    def _check_against_outputs(self, out, ids: list[int]) -> None:
        """transformers' own outputs say the same (its last hidden state is the normalised one)."""
        layers = len(self.model.transformer.h)
        for layer in range(layers):
            assert torch.equal(out.hidden_states[layer], self.kept[f"blocks.{layer}.hook_resid_pre"])
            assert torch.equal(out.attentions[layer], self.kept[f"blocks.{layer}.attn.hook_pattern"])
        assert torch.equal(out.hidden_states[layers], self.kept["ln_final.hook_normalized"])
        if len(ids) > 1:
            assert torch.allclose(out.loss.double(), next_token_loss(out.logits[0], ids).double(), rtol=1e-6)

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    # --- results

    def _split(self, tensor: Tensor) -> Tensor:
        return tensor.reshape(tensor.shape[0], self.heads, -1)

    def _named(self, of: Callable[[Tensor], Tensor | None]) -> dict[str, Tensor]:
        """Each kept tensor through `of` (value or gradient), in the table's shapes."""
        result = {}
        for name, kept in self.kept.items():
            tensor = of(kept)
            if tensor is None:
                continue
            tensor = tensor.detach()[0]
            if name.endswith("qkv"):
                for part, piece in zip("qkv", tensor.chunk(3, dim=-1)):
                    result[name.replace("qkv", f"attn.hook_{part}")] = self._split(piece)
            else:
                result[name] = self._split(tensor) if name.endswith("hook_z") else tensor
        return result

    def values(self, with_result: bool) -> dict[str, Tensor]:
        sites = self._named(lambda tensor: tensor)
        body = self.model.transformer
        for layer, block in enumerate(body.h):
            at = f"blocks.{layer}."
            for norm, module, source in [("ln1", block.ln_1, "resid_pre"), ("ln2", block.ln_2, "resid_mid")]:
                sites[f"{at}{norm}.hook_scale"] = scale_of(sites[f"{at}hook_{source}"], module.eps)
            scores = scores_of(sites[at + "attn.hook_q"], sites[at + "attn.hook_k"], block.attn.scaling)
            difference = scores.softmax(-1) - sites[at + "attn.hook_pattern"]
            assert difference.abs().max() < 1e-5, "the derived scores do not give the model's own pattern"
            sites[at + "attn.hook_attn_scores"] = scores
            if with_result:
                weight = block.attn.c_proj.weight.detach().reshape(self.heads, -1, block.attn.embed_dim)
                sites[at + "attn.hook_result"] = torch.einsum("thk,hkd->thd", sites[at + "attn.hook_z"], weight)
        sites["ln_final.hook_scale"] = scale_of(sites[f"blocks.{len(body.h) - 1}.hook_resid_post"], body.ln_f.eps)
        return sites

    def gradients(self, scalar: Tensor) -> dict[str, Tensor]:
        """d scalar / d site. At masked places of a pattern it is what the formula gives: dz . v, not 0."""
        for tensor in self.kept.values():
            tensor.grad = None
        self.model.zero_grad()
        scalar.backward(retain_graph=True)
        return self._named(lambda tensor: tensor.grad)


def scale_of(x: Tensor, epsilon: float) -> Tensor:
    return (x.var(dim=-1, unbiased=False, keepdim=True) + epsilon).sqrt()


def scores_of(q: Tensor, k: Tensor, scaling: float) -> Tensor:
    scores = torch.einsum("qhk,shk->hqs", q, k) * scaling
    future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf"))


def next_token_loss(logits: Tensor, ids: list[int]) -> Tensor:
    """Mean nats over positions 1 .. T-1. (transformers' own loss converts the logits to float32 first.)"""
    return F.cross_entropy(logits[:-1], torch.tensor(ids[1:]))


def numpy_of(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}
