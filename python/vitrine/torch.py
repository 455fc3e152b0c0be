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
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from vitrine import until_exit
from vitrine._vitrine import Edit, Model, Target
from vitrine.types import Edits, Prompt


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
    before the inputs. Gradients reach the inputs from every output. Raises what Model.run and
    Model.gradients raise; values must be on the CPU in a floating type.
    """
    given = [edits] if isinstance(edits, Edit) else list(edits)
    names = tuple(inputs)
    results = _Pass.apply(model, prompt, names, tuple(outputs), given, *inputs.values())
    return dict(zip(outputs, cast("tuple[torch.Tensor, ...]", results)))


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        model: Model,
        prompt: Prompt,
        names: tuple[str, ...],
        outputs: tuple[str, ...],
        edits: list[Edit],
        *values: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        ctx.prompt, ctx.names, ctx.outputs = prompt, names, outputs
        ctx.engine = until_exit.keep((model, edits))
        ctx.save_for_backward(*values)
        run = model.run(
            prompt,
            capture=list(outputs),
            edits=edits + _replacements(names, values),
            logits="none" if "logits" not in outputs else "all",
        )
        return tuple(torch.from_numpy(run[name].copy()) for name in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        model, edits = ctx.engine.value()
        target = _target(ctx.outputs, gradients)
        found = model.gradients(
            ctx.prompt,
            target,
            wrt=list(ctx.names),
            edits=edits + _replacements(ctx.names, ctx.saved_tensors),
        )
        values = [
            torch.from_numpy(found[name].copy()).to(value.dtype).reshape(value.shape)
            for name, value in zip(ctx.names, ctx.saved_tensors)
        ]
        return (None, None, None, None, None, *values)


def _replacements(names: Sequence[str], values: Sequence[torch.Tensor]) -> list[Edit]:
    edits = []
    for name, value in zip(names, values):
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
