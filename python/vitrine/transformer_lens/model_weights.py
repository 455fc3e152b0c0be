# SPDX-License-Identifier: MIT
"""The weights of a HookedTransformer, and what follows from them alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from vitrine.error import Error
from vitrine.transformer_lens import components
from vitrine.transformer_lens.config import HookedTransformerConfig
from vitrine.transformer_lens.factored_matrix import FactoredMatrix, composition_scores
from vitrine.transformer_lens.hooked_root import HookedRootModule
from vitrine.transformer_lens.weights import Array, State

_STACKED: tuple[str, ...] = (
    "attn.W_Q",
    "attn.W_K",
    "attn.W_V",
    "attn.W_O",
    "attn.b_Q",
    "attn.b_K",
    "attn.b_V",
    "attn.b_O",
)
_STACKED += ("mlp.W_in", "mlp.b_in", "mlp.W_out", "mlp.b_out")


class ModelWeights(HookedRootModule):
    """Weights act on rows: x @ W. Those of all layers are stacked; a block's are views of them."""

    cfg: HookedTransformerConfig
    embed: components.Embed
    pos_embed: components.PosEmbed
    unembed: components.Unembed
    blocks: list[components.TransformerBlock]

    def _set_state(self, state: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _stacked(self, arrays: State) -> dict[str, torch.Tensor]:
        """All weights by name as tensors; remembers them, and the stacks."""
        cfg = self.cfg

        def tensor(array: Array) -> torch.Tensor:
            return torch.from_numpy(np.array(array, np.float32, order="C")).to(device=cfg.device, dtype=cfg.dtype)

        self._stacks: dict[str, torch.Tensor] = {}
        weights: dict[str, torch.Tensor] = {}
        for part in _STACKED:
            names = [f"blocks.{layer}.{part}" for layer in range(cfg.n_layers)]
            stack = tensor(np.stack([arrays[name] for name in names]))
            self._stacks[part.split(".")[1]] = stack
            weights.update(zip(names, stack))
        for name, array in arrays.items():
            if name not in weights:
                weights[name] = tensor(array)
        self._weights = {name: weights[name] for name in arrays}
        self._versions = self._version()
        return self._weights

    def _version(self) -> int:
        """Grows with every change of a weight in place."""
        return sum(weight._version for weight in self._weights.values())

    def _check_weights(self) -> None:
        if self._version() != self._versions:
            raise Error(
                "a weight was changed in place, and the engine has its own copy: give the changed weights to "
                "model.load_state_dict()"
            )

    def _arrays(self) -> State:
        return {name: weight.detach().float().cpu().numpy() for name, weight in self._weights.items()}

    def _random_state(self) -> State:
        """Normal weights of cfg.initializer_range, biases 0, as TransformerLens's "gpt2" does it."""
        cfg = self.cfg
        if cfg.init_mode != "gpt2":
            raise Error(f"cfg.init_mode {cfg.init_mode!r} is not supported: expected 'gpt2'")
        if cfg.seed is not None:
            torch.manual_seed(cfg.seed)
        heads, width, head, inner = cfg.n_heads, cfg.d_model, cfg.d_head, cfg.d_mlp
        assert inner is not None
        shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (cfg.d_vocab, width), "pos_embed.W_pos": (cfg.n_ctx, width)}
        for layer in range(cfg.n_layers):
            block = f"blocks.{layer}"
            for part in "QKV":
                shapes[f"{block}.attn.W_{part}"] = (heads, width, head)
                shapes[f"{block}.attn.b_{part}"] = (heads, head)
            shapes |= {f"{block}.attn.W_O": (heads, head, width), f"{block}.attn.b_O": (width,)}
            shapes |= {f"{block}.mlp.W_in": (width, inner), f"{block}.mlp.b_in": (inner,)}
            shapes |= {f"{block}.mlp.W_out": (inner, width), f"{block}.mlp.b_out": (width,)}
        shapes |= {"unembed.W_U": (width, cfg.d_vocab), "unembed.b_U": (cfg.d_vocab,)}
        state: State = {}
        for name, shape in shapes.items():
            is_weight = name.split(".")[-1].startswith("W_")
            values = torch.randn(shape) * cfg.initializer_range if is_weight else torch.zeros(shape)
            state[name] = values.numpy()
        if cfg.normalization_type == "LN":
            norms = [
                "ln_final",
                *(f"blocks.{layer}.{norm}" for layer in range(cfg.n_layers) for norm in ("ln1", "ln2")),
            ]
            for norm in norms:
                state[f"{norm}.w"], state[f"{norm}.b"] = np.ones(width, np.float32), np.zeros(width, np.float32)
        return state

    def set_use_attn_result(self, use_attn_result: bool) -> None:
        """Whether passes reach blocks.L.attn.hook_result: each head's part of the output [batch, pos, head, d_model]."""
        self.cfg.use_attn_result = use_attn_result

    def set_use_split_qkv_input(self, use_split_qkv_input: bool) -> None:
        """Whether passes reach blocks.L.hook_q_input, hook_k_input, hook_v_input: [batch, pos, head, d_model] each."""
        self.cfg.use_split_qkv_input = use_split_qkv_input

    def set_use_attn_in(self, use_attn_in: bool) -> None:
        """Whether passes reach blocks.L.hook_attn_in: each head's input [batch, pos, head, d_model]."""
        self.cfg.use_attn_in = use_attn_in

    def set_use_hook_mlp_in(self, use_hook_mlp_in: bool) -> None:
        """Whether passes reach blocks.L.hook_mlp_in: the MLP's input [batch, pos, d_model] before its layernorm."""
        self.cfg.use_hook_mlp_in = use_hook_mlp_in

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All weights by name."""
        return dict(self._weights)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Takes weights with the names of state_dict(); with `strict` all of them, and no other ones.

        Buffers of TransformerLens's own models ("attn.mask", "attn.IGNORE") are skipped.
        """
        buffers = ("attn.mask", "attn.IGNORE")
        given = {name: value for name, value in state_dict.items() if not name.endswith(buffers)}
        missing, unknown = set(self._weights) - set(given), set(given) - set(self._weights)
        if unknown or (strict and missing):
            raise Error(f"state_dict has unknown names {sorted(unknown)[:5]} and lacks {sorted(missing)[:5]}")
        arrays = self._arrays()
        for name, value in given.items():
            array = value.detach().float().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            if array.shape != arrays[name].shape:
                raise Error(f"{name} has the shape {array.shape}: expected {arrays[name].shape}")
            arrays[name] = array
        self._set_state(arrays)

    def named_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        """All weights with their names. They do not require gradients: they are constants."""
        return iter(self._weights.items())

    def parameters(self) -> Iterator[torch.Tensor]:
        """All weights."""
        return iter(self._weights.values())

    @property
    def n_params_total(self) -> int:
        """Number of all weights."""
        return sum(weight.numel() for weight in self.parameters())

    @property
    def W_E(self) -> torch.Tensor:
        """[d_vocab, d_model]"""
        return self._weights["embed.W_E"]

    @property
    def W_pos(self) -> torch.Tensor:
        """[n_ctx, d_model]"""
        return self._weights["pos_embed.W_pos"]

    @property
    def W_E_pos(self) -> torch.Tensor:
        """[d_vocab + n_ctx, d_model]"""
        return torch.cat([self.W_E, self.W_pos])

    @property
    def W_U(self) -> torch.Tensor:
        """[d_model, d_vocab]"""
        return self._weights["unembed.W_U"]

    @property
    def b_U(self) -> torch.Tensor:
        """[d_vocab]"""
        return self._weights["unembed.b_U"]

    def __getattr__(self, name: str) -> torch.Tensor:
        # W_Q, W_K, W_V [L, H, D, K], W_O [L, H, K, D], W_in [L, D, M], W_out [L, M, D] and their biases.
        stacks: dict[str, torch.Tensor] = self.__dict__.get("_stacks", {})
        if name in stacks:
            return stacks[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def W_gate(self) -> None:
        """None: a GPT-2's MLP has no gate."""
        return None

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_K^T [L, H, d_model, d_model]"""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O [L, H, d_model, d_model]"""
        return FactoredMatrix(self.W_V, self.W_O)

    def accumulated_bias(self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True) -> torch.Tensor:
        """Sum of the biases of all layers before `layer` [d_model]; with `mlp_input` also of its attention."""
        total = self.b_O[:layer].sum(0)
        if include_mlp_biases:
            total = total + self.b_out[:layer].sum(0)
        if mlp_input:
            assert layer < self.cfg.n_layers, "Cannot include attn_bias from beyond the final layer"
            total = total + self.b_O[layer]
        return total

    def all_composition_scores(self, mode: str) -> torch.Tensor:
        """Composition of each head with each one of a later layer [L, H, L, H]; `mode`: "Q", "K" or "V"."""
        if mode not in ("Q", "K", "V"):
            raise ValueError(f"mode must be one of ['Q', 'K', 'V'] not {mode}")
        right = {"Q": lambda: self.QK, "K": lambda: self.QK.T, "V": lambda: self.OV}[mode]()
        scores = composition_scores(self.OV, right, broadcast_dims=True)
        layers = torch.arange(self.cfg.n_layers, device=scores.device)
        later = layers[:, None, None, None] < layers[None, None, :, None]
        return torch.where(later, scores, torch.zeros_like(scores))

    def all_head_labels(self) -> list[str]:
        """ "L0H0", ... in the order of the heads."""
        return [f"L{layer}H{head}" for layer in range(self.cfg.n_layers) for head in range(self.cfg.n_heads)]
