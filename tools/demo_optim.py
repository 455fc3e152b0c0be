# SPDX-License-Identifier: MIT
"""The demo model's optimizer: Muon for the blocks' matrices, AdamW for everything else.

Muon (Jordan et al. 2024) takes the momentum of a matrix's gradient and replaces it by the nearest
orthogonal matrix. On a small token budget it learns more from each token than AdamW does.
PyTorch's own does that arithmetic in bfloat16, which a processor without bfloat16 units crawls through.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonal(matrix: Tensor, iterations: int = 5) -> Tensor:
    """About U V^T of the matrix's singular value decomposition, by Newton-Schulz iterations."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """For weights that lie [in, out]. c_attn is three maps side by side, each a matrix of its own."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95,
                 weight_decay: float = 0.01) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
                velocity.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(velocity, group["momentum"])  # Nesterov's look ahead
                n_in, n_out = parameter.shape
                parts = ahead.split(n_in, dim=1) if n_out == 3 * n_in else (ahead,)
                update = torch.cat([orthogonal(part) for part in parts], dim=1)
                scale = max(1.0, parts[0].shape[1] / n_in) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * scale)


class Optimizer:
    """Both optimizers as one; `step` takes the share of the peak rates, clips, updates and clears."""

    def __init__(self, model: nn.Module, lr: float, matrix_lr: float) -> None:
        named = list(model.named_parameters())
        matrices = [p for n, p in named if p.dim() == 2 and ".h." in n]
        embeddings = [p for n, p in named if p.dim() == 2 and ".h." not in n]
        vectors = [p for _, p in named if p.dim() == 1]
        self.parameters = [p for _, p in named]
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.AdamW([{"params": embeddings, "weight_decay": 0.01},
                                {"params": vectors, "weight_decay": 0.0}], lr, betas=(0.9, 0.95)), lr),
            (Muon(matrices, matrix_lr), matrix_lr)]

    def step(self, scale: float) -> float:
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimizer, peak in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = peak * scale
            optimizer.step()
            optimizer.zero_grad()
        return float(norm)

    def state_dict(self) -> list[dict]:
        return [optimizer.state_dict() for optimizer, _ in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for (optimizer, _), state in zip(self.parts, states, strict=True):
            optimizer.load_state_dict(state)
