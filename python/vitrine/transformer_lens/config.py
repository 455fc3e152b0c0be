# SPDX-License-Identifier: MIT
"""The configuration that users of TransformerLens read as model.cfg."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch

from vitrine.error import Error

_REFUSED = {
    "use_hook_tokens": "change the tokens before the call",
    "use_local_attn": "the engine runs GPT-2, whose attention is global",
    "gated_mlp": "the engine runs GPT-2, whose MLP has no gate",
    "parallel_attn_mlp": "the engine runs GPT-2, whose MLP follows attention",
    "attn_only": "the engine runs GPT-2, which has MLPs",
    "final_rms": "the engine runs GPT-2, whose layernorms centre",
    "use_qk_norm": "the engine runs GPT-2, which does not normalise queries and keys",
    "load_in_4bit": 'Model.load(dtype="i8") keeps weights in 8 bits',
}
_FIXED = {
    "positional_embedding_type": ("standard",),
    "attention_dir": ("causal",),
    "normalization_type": ("LN", "LNPre"),
    "n_devices": (1,),
}


@dataclass
class HookedTransformerConfig:
    """Sizes and switches of a model, with TransformerLens's names and defaults.

    Only what describes a GPT-2 is accepted; other values raise vitrine.Error.
    """

    n_layers: int
    d_model: int
    n_ctx: int
    d_head: int
    model_name: str = "custom"
    n_heads: int = -1
    d_mlp: int | None = None
    act_fn: str = "gelu_new"
    d_vocab: int = -1
    eps: float = 1e-5
    use_attn_result: bool = False
    use_attn_scale: bool = True
    attn_scale: float = -1.0
    use_split_qkv_input: bool = False
    use_hook_mlp_in: bool = False
    use_attn_in: bool = False
    use_hook_tokens: bool = False
    use_local_attn: bool = False
    use_qk_norm: bool = False
    original_architecture: str | None = "GPT2LMHeadModel"
    from_checkpoint: bool = False
    checkpoint_index: int | None = None
    checkpoint_label_type: str | None = None
    checkpoint_value: int | None = None
    tokenizer_name: str | None = None
    window_size: int | None = None
    attn_types: list[str] | None = None
    init_mode: str = "gpt2"
    init_weights: bool = True
    initializer_range: float = -1.0
    seed: int | None = None
    normalization_type: str | None = "LN"
    final_rms: bool = False
    device: Any = None
    n_devices: int = 1
    dtype: torch.dtype = torch.float32
    attention_dir: str = "causal"
    attn_only: bool = False
    gated_mlp: bool = False
    parallel_attn_mlp: bool = False
    positional_embedding_type: str = "standard"
    scale_attn_by_inverse_layer_idx: bool = False
    default_prepend_bos: bool = True
    tokenizer_prepends_bos: bool | None = None
    d_vocab_out: int = -1
    n_key_value_heads: int | None = None
    n_params: int | None = None
    load_in_4bit: bool = False
    tie_word_embeddings: bool = False
    output_logits_soft_cap: float = -1.0
    attn_scores_soft_cap: float = -1.0

    def __post_init__(self) -> None:
        if self.n_heads == -1:
            self.n_heads = self.d_model // self.d_head
        if self.d_mlp is None:
            self.d_mlp = 4 * self.d_model
        if self.attn_scale == -1.0:
            self.attn_scale = math.sqrt(self.d_head)
        if self.d_vocab_out == -1:
            self.d_vocab_out = self.d_vocab
        if self.initializer_range < 0:
            self.initializer_range = 0.8 / math.sqrt(self.d_model)
        if self.n_params is None:
            self.n_params = self.n_layers * (
                4 * self.d_model * self.d_head * self.n_heads + 2 * self.d_model * self.d_mlp
            )
        if self.device is None:
            self.device = "cpu"
        if self.n_key_value_heads not in (None, self.n_heads):
            raise Error(
                f"n_key_value_heads {self.n_key_value_heads} is not n_heads {self.n_heads}: a GPT-2 has keys for each head"
            )
        if self.n_heads * self.d_head != self.d_model:
            raise Error(
                f"n_heads {self.n_heads} x d_head {self.d_head} is not d_model {self.d_model}: a GPT-2 has heads that fill its width"
            )
        if not self.use_attn_scale or abs(self.attn_scale - math.sqrt(self.d_head)) > 1e-9:
            raise Error(
                f"attn_scale {self.attn_scale} is not sqrt(d_head): the engine runs GPT-2, which scales scores so"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if value and name in _REFUSED:
            raise Error(f"cfg.{name} = {value!r} is not supported: {_REFUSED[name]}")
        if name in _FIXED and value not in _FIXED[name]:
            raise Error(f"cfg.{name} = {value!r} is not supported: expected {' or '.join(map(repr, _FIXED[name]))}")
        super().__setattr__(name, value)

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> HookedTransformerConfig:
        """A configuration from a dictionary of its fields."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(config) - known)
        if unknown:
            raise Error(f"unknown fields of a GPT-2's configuration: {', '.join(unknown)}")
        return cls(**config)

    @classmethod
    def unwrap(cls, config: HookedTransformerConfig | dict[str, Any]) -> HookedTransformerConfig:
        """The configuration, made from a dictionary if it is one."""
        return cls.from_dict(config) if isinstance(config, dict) else config

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return dict(self.__dict__)

    def is_layer_norm_activation(self) -> bool:
        """Whether the activation function has a layernorm of its own (SoLU): no GPT-2's has."""
        return self.act_fn.endswith("_ln")

    def __repr__(self) -> str:
        fields = "\n".join(f"  {name}: {value!r}" for name, value in self.to_dict().items())
        return f"HookedTransformerConfig:\n{fields}"
