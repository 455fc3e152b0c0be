# SPDX-License-Identifier: MIT
"""Passes as differentiable functions of torch: a loss in torch back-propagates through the engine.

    residual = torch.randn(5, 768, requires_grad=True)
    out = vitrine.torch.forward(model, ids, inputs={"blocks.3.hook_resid_post": residual})
    out["logits"][-1].logsumexp(-1).backward()
    residual.grad

Weights are constants. Needs torch, which `import vitrine` does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from vitrine import until_exit
from vitrine._vitrine import Edit, Model, Target
from vitrine.types import Edits, Logits, Prompt


def forward(
    model: Model,
    prompt: Prompt,
    *,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str] = ("logits",),
    edits: Edits = (),
) -> dict[str, torch.Tensor]:
    """Runs a prompt with the values of the sites `inputs` replaced; returns the sites `outputs`.

    `inputs`: whole sites by name ("hook_embed" are the token embeddings), each in the shape of a
    capture. `outputs`: names of sites, float32 tensors in the shape of captures. `edits` apply
    before the inputs. Gradients reach the inputs from every output. Where an input is the whole
    residual stream at a block, and nothing else that is named comes before it, the pass begins there.
    Raises what Model.run and Model.gradients raise; values must be on the CPU in a floating type.
    """
    given = [edits] if isinstance(edits, Edit) else list(edits)
    work = _Work(prompt, tuple(inputs), tuple(outputs), _first_block(model, prompt, inputs, outputs, given))
    results = _Pass.apply(model, work, given, *inputs.values())
    return dict(zip(outputs, cast("tuple[torch.Tensor, ...]", results)))


@dataclass(frozen=True)
class _Work:
    prompt: Prompt
    names: tuple[str, ...]
    """of the inputs"""
    outputs: tuple[str, ...]
    first: int | None
    """the block with which the passes begin, if not with the embeddings"""


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        model: Model,
        work: _Work,
        edits: list[Edit],
        *values: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        ctx.work = work
        ctx.engine = until_exit.keep((model, edits))
        ctx.save_for_backward(*values)
        edits = edits + _replacements(work, values)
        capture = list(work.outputs)
        logits: Logits = "none" if "logits" not in work.outputs else "all"
        if work.first is None:
            run = model.run(work.prompt, capture=capture, edits=edits, logits=logits)
        else:
            rows = [_array(_stream(work, values))]
            run = model.run_from(work.first, rows, capture=capture, edits=edits, logits=logits)[0]
        return tuple(torch.from_numpy(run[name].copy()) for name in work.outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        model, edits = ctx.engine.value()
        work: _Work = ctx.work
        target = _target(work.outputs, gradients)
        edits = edits + _replacements(work, ctx.saved_tensors)
        if work.first is None:
            wrt = list(work.names)
            found = model.gradients(work.prompt, target, wrt=wrt, edits=edits)
        else:
            wrt = [_entry(work.first) if _block_after(name) == work.first else name for name in work.names]
            rows = [_array(_stream(work, ctx.saved_tensors))]
            found = model.gradients_from(work.first, rows, target, wrt=wrt, edits=edits)[0]
        values = [
            torch.from_numpy(found[name].copy()).to(value.dtype).reshape(value.shape)
            for name, value in zip(wrt, ctx.saved_tensors)
        ]
        return (None, None, None, *values)


def _entry(layer: int) -> str:
    return f"blocks.{layer}.hook_resid_pre"


def _block_after(name: str) -> int | None:
    """The block whose input a site is."""
    if not name.endswith(("hook_resid_pre", "hook_resid_post")):
        return None
    return int(name.split(".")[1]) + name.endswith("_post")


def _first_block(
    model: Model, prompt: Prompt, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], edits: list[Edit]
) -> int | None:
    """The block with whose given input a pass can begin: all that is named comes after it."""
    blocks = [block for block in map(_block_after, inputs) if block is not None]
    first = max(blocks, default=None)
    if edits or first is None or blocks.count(first) > 1 or first == model.config.layers:
        return None
    others = [*(name for name in inputs if _block_after(name) != first), *outputs]
    if any(name in ("hook_embed", "hook_pos_embed") or "*" in name for name in others):
        return None
    if any(name.startswith("blocks.") and int(name.split(".")[1]) < first for name in others):
        return None
    tokens = len(model.encode(prompt)) if isinstance(prompt, str) else len(prompt)
    given = next(value for name, value in inputs.items() if _block_after(name) == first)
    return first if len(given) == tokens else None


def _stream(work: _Work, values: Sequence[torch.Tensor]) -> torch.Tensor:
    return next(value for name, value in zip(work.names, values) if _block_after(name) == work.first)


def _replacements(work: _Work, values: Sequence[torch.Tensor]) -> list[Edit]:
    edits = []
    for name, value in zip(work.names, values):
        if work.first is not None and _block_after(name) == work.first:
            continue
        rows = _array(value)
        edits.append(Edit.replace(name, rows.reshape(len(rows), -1), positions=range(len(rows))))
    return edits


def _target(outputs: Sequence[str], gradients: Sequence[torch.Tensor]) -> Target:
    """The sum over all outputs of gradient times value, whose gradient is the vector-Jacobian product."""
    terms: list[Target] = []
    for name, gradient in zip(outputs, gradients):
        rows = _array(gradient)
        terms += [
            Target.linear(name, row.reshape(-1), position=position)
            for position, row in enumerate(rows)
            if row.any() or not terms
        ]
    target = terms[0]
    for term in terms[1:]:
        target = target + term
    return target


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float32)
