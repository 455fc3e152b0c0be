# SPDX-License-Identifier: MIT
"""The parts of a model by TransformerLens's names: weights and hook points."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from vitrine.error import Error
from vitrine.transformer_lens.config import HookedTransformerConfig
from vitrine.transformer_lens.factored_matrix import FactoredMatrix
from vitrine.transformer_lens.hook_points import HookPoint
from vitrine.transformer_lens.tensors import get_offset_position_ids

_ATTENTION_HOOKS = ("k", "q", "v", "z", "attn_scores", "pattern", "result")
_BLOCK_HOOKS = (
    "attn_in",
    "q_input",
    "k_input",
    "v_input",
    "mlp_in",
    "attn_out",
    "mlp_out",
    "resid_pre",
    "resid_mid",
    "resid_post",
)


class Component:
    """A part of a model. Its weights are constants of the engine."""

    name: str

    def __init__(self, name: str, weights: dict[str, torch.Tensor], hooks: tuple[str, ...] = ()) -> None:
        self.name = name
        for key, value in {**weights, **{f"hook_{hook}": HookPoint(f"{name}.hook_{hook}") for hook in hooks}}.items():
            object.__setattr__(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(self.__dict__.get(name), torch.Tensor):
            raise Error(
                f"{self.name}.{name} is a constant of the engine: model.load_state_dict() takes changed weights"
            )
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # Weights and hook points are set by __init__; this is called for what is missing.
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise Error(
            f"{self.name} does not run alone: use model(..., start_at_layer=, stop_at_layer=) or hooks, "
            "and vitrine.torch.forward for a part of a pass as a function"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


class Embed(Component):
    """W_E [V, D]."""

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Rows of the token embedding."""
        rows: torch.Tensor = self.W_E[tokens]
        return rows


class PosEmbed(Component):
    """W_pos [P, D]."""

    def __call__(
        self, tokens: torch.Tensor, past_kv_pos_offset: int = 0, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Position embeddings [B, P, D] of tokens after others; `attention_mask` [B, past + P]: padding has zeros."""
        if attention_mask is None:
            attention_mask = torch.ones(len(tokens), past_kv_pos_offset + tokens.shape[1], dtype=torch.long)
        rows: torch.Tensor = self.W_pos[get_offset_position_ids(past_kv_pos_offset, attention_mask)]
        return rows.masked_fill(attention_mask[:, past_kv_pos_offset:, None] == 0, 0.0)


class LayerNorm(Component):
    """hook_scale and hook_normalized; `w` and `b` [D] if they are not folded."""

    def __init__(self, name: str, weights: dict[str, torch.Tensor], eps: float) -> None:
        super().__init__(name, weights, ("scale", "normalized"))
        self.eps = eps

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The layernorm of [..., D]; hooks are not called."""
        centred, scale = self.parts(x)
        x = centred / scale
        return x * self.w + self.b if "w" in self.__dict__ else x

    def parts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Centred rows, and the scale [..., 1] that divides them."""
        centred = x - x.mean(-1, keepdim=True)
        return centred, (centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()


class Attention(Component):
    """W_Q, W_K, W_V [H, D, K], W_O [H, K, D] and their biases."""

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_K^T [H, D, D]"""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O [H, D, D]"""
        return FactoredMatrix(self.W_V, self.W_O)


class MLP(Component):
    """W_in [D, M], W_out [M, D] and their biases."""


class Unembed(Component):
    """W_U [D, V], b_U [V]."""

    def __call__(self, residual: torch.Tensor) -> torch.Tensor:
        """Logits of rows after the final layernorm."""
        return residual @ self.W_U + self.b_U


class TransformerBlock(Component):
    """ln1, attn, ln2, mlp and the hook points between them."""

    def __init__(self, model: Any, layer: int, weights: dict[str, torch.Tensor], cfg: HookedTransformerConfig) -> None:
        name = f"blocks.{layer}"

        def of(part: str) -> dict[str, torch.Tensor]:
            return named_part(weights, f"{name}.{part}.")

        self.ln1 = LayerNorm(f"{name}.ln1", of("ln1"), cfg.eps)
        self.ln2 = LayerNorm(f"{name}.ln2", of("ln2"), cfg.eps)
        self.attn = Attention(f"{name}.attn", of("attn"), _ATTENTION_HOOKS)
        self.mlp = MLP(f"{name}.mlp", of("mlp"), ("pre", "post"))
        super().__init__(name, {}, _BLOCK_HOOKS)
        self._model, self._layer = weakref.ref(model), layer  # a cycle would keep the engine's memory for long

    def __call__(self, residual: torch.Tensor) -> Any:
        """The residual stream [B, P, D] after the block, of that before it."""
        model = self._model()
        if model is None:
            raise Error(f"the model of {self.name} is gone: keep it to run its blocks")
        return model.forward(residual, start_at_layer=self._layer, stop_at_layer=self._layer + 1)


def named_part(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The weights whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def block_sites(layer: int) -> list[str]:
    """Names of a block's hook points in the order in which a pass reaches them."""
    attention = [f"attn.hook_{part}" for part in ("q", "k", "v", "attn_scores", "pattern", "z", "result")]
    inputs = ["hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input"]
    parts = ["hook_resid_pre", *inputs, "ln1.hook_scale", "ln1.hook_normalized", *attention]
    parts += [
        "hook_attn_out",
        "hook_resid_mid",
        "hook_mlp_in",
        "ln2.hook_scale",
        "ln2.hook_normalized",
        "mlp.hook_pre",
        "mlp.hook_post",
        "hook_mlp_out",
        "hook_resid_post",
    ]
    return [f"blocks.{layer}.{part}" for part in parts]


def ends() -> list[str]:
    """Names of the hook points before and after the blocks, in the order of a pass."""
    last = ["ln_final.hook_scale", "ln_final.hook_normalized", "unembed.hook_in", "unembed.hook_out"]
    return ["hook_embed", "hook_pos_embed", *last]


def sites(layers: int) -> list[str]:
    """Names of all hook points that a pass can reach, in its order."""
    blocks = [name for layer in range(layers) for name in block_sites(layer)]
    return [*ends()[:2], *blocks, *ends()[2:]]


ENGINE_NAMES = {"unembed.hook_in": "ln_final.hook_normalized", "unembed.hook_out": "logits"}
"""The engine's names of sites that have another one."""
