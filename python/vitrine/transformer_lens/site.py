# SPDX-License-Identifier: MIT
"""A hook point of a pass, and the functions that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from vitrine.error import Error
from vitrine.transformer_lens.components import ENGINE_NAMES
from vitrine.transformer_lens.hook_points import CachingHook, HookFunction, HookPoint
from vitrine.transformer_lens.inputs import stream_of


@dataclass(eq=False)
class Site:
    """A hook point of a pass.

    `affine`: weight and bias from the engine's values to those of the hook point. `heads`: how many copies of
    the engine's values there are, where each head has one.
    """

    point: HookPoint
    forward: list[HookFunction]
    backward: list[HookFunction]
    affine: tuple[torch.Tensor, torch.Tensor] | None = None
    heads: int = 0

    @property
    def name(self) -> str:
        """TransformerLens's name."""
        return self.point.name

    @property
    def engine(self) -> str:
        """The engine's name."""
        name = self.point.name
        return stream_of(name) or ENGINE_NAMES.get(name, name)

    def captured(self) -> bool:
        """Whether the engine's capture is all that its functions want."""
        return all(isinstance(hook, CachingHook) for hook in self.forward)

    def seen(self, values: torch.Tensor) -> torch.Tensor:
        """The hook point's values of the engine's."""
        if self.heads:
            return values.unsqueeze(2).repeat(1, 1, self.heads, 1)
        return values if self.affine is None else values * self.affine[0] + self.affine[1]

    def taken(self, values: torch.Tensor) -> torch.Tensor:
        """The engine's values of the hook point's. Elements with the weight 0 do not matter."""
        return values if self.affine is None else self._divided(values - self.affine[1])

    def seen_gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        """The hook point's gradient of the engine's."""
        return gradient if self.affine is None else self._divided(gradient)

    def taken_gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        """The engine's gradient of the hook point's."""
        return gradient if self.affine is None else gradient * self.affine[0]

    def _divided(self, values: torch.Tensor) -> torch.Tensor:
        assert self.affine is not None
        weight = self.affine[0]
        return torch.where(weight == 0, 0, values / torch.where(weight == 0, 1, weight))


def check_causal(name: str, values: torch.Tensor) -> None:
    """Error for a map [B, H, P, N] in which a token attends to later ones: the engine's tokens do not."""
    if not name.endswith(("hook_attn_scores", "hook_pattern")):
        return
    queries, keys = values.shape[-2:]
    later = torch.ones(queries, keys, dtype=torch.bool, device=values.device).triu(1 + keys - queries)
    found = values.detach()[..., later]
    if bool((found > -1e4).any() if name.endswith("scores") else (found != 0).any()):
        raise Error(
            f"the hook at {name} lets tokens attend to later ones: the engine's attention is causal, so "
            f"{'scores there must stay -inf' if name.endswith('scores') else 'the pattern must be 0 there'}"
        )


def shown(value: Any) -> str:
    """A value in an error's words."""
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
