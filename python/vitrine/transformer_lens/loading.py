# SPDX-License-Identifier: MIT
"""HookedTransformer.from_pretrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from vitrine.error import Error
from vitrine.transformer_lens import processing, weights
from vitrine.transformer_lens.config import HookedTransformerConfig

T = TypeVar("T", bound="Loading")

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "float16": torch.float16,
    "fp16": torch.float16,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
}
_ALIASES = {"gpt2-small": "gpt2", "distillgpt2": "distilgpt2", "distil-gpt2": "distilgpt2"}


class Loading:
    """How a HookedTransformer is made from a checkpoint."""

    @classmethod
    def from_pretrained(
        cls: type[T],
        model_name: str,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        refactor_factored_attn_matrices: bool = False,
        checkpoint_index: int | None = None,
        checkpoint_value: int | None = None,
        checkpoint_label: int | None = None,
        hf_model: Any = None,
        device: Any = None,
        n_devices: int = 1,
        tokenizer: Any = None,
        move_to_device: bool = True,
        fold_value_biases: bool = True,
        default_prepend_bos: bool | None = None,
        default_padding_side: str | None = None,
        dtype: Any = "float32",
        first_n_layers: int | None = None,
        n_ctx: int | None = None,
        **from_pretrained_kwargs: Any,
    ) -> T:
        """A checkpoint with processed weights, unless the arguments say otherwise.

        `model_name`: what vitrine.Model.load takes, or a name for `hf_model`, a GPT2LMHeadModel of transformers.
        `tokenizer`: one of transformers; by default the checkpoint's. `fold_ln` folds the layernorms into the
        matrices after them; `center_writing_weights` centres what is written to the residual stream;
        `center_unembed` centres the logits; `fold_value_biases` makes biases of values biases of the output.
        All keep the probabilities. `device`: the CPU by default. `dtype`: "float32", "float16" or "bfloat16". `n_ctx`: a shorter context.
        """
        for name, value in (
            ("checkpoint_index", checkpoint_index),
            ("checkpoint_value", checkpoint_value),
            ("checkpoint_label", checkpoint_label),
        ):
            if value is not None:
                raise Error(f"{name} is not supported: give the directory of that checkpoint as model_name")
        if n_devices != 1:
            raise Error(
                f"n_devices={n_devices} is not supported: expected 1; passes of several processes run side by side"
            )
        if not move_to_device:
            raise Error("move_to_device=False is not supported: the engine has the weights where `device` says")
        if "torch_dtype" in from_pretrained_kwargs:
            dtype = from_pretrained_kwargs.pop("torch_dtype")
        if from_pretrained_kwargs:
            names = ", ".join(from_pretrained_kwargs)
            raise Error(f"unknown arguments of from_pretrained: {names}; the engine reads local checkpoints itself")
        name = _ALIASES.get(str(model_name), str(model_name))
        source = weights.from_checkpoint(name) if hf_model is None else weights.from_transformers(hf_model)
        cfg = _config(source, name, first_n_layers, n_ctx)
        cfg.dtype = _dtype(dtype)
        cfg.device = device_name(device)
        cfg.default_prepend_bos = True if default_prepend_bos is None else default_prepend_bos
        state = {key: values for key, values in source.state.items() if _layer(key) < cfg.n_layers}
        state["pos_embed.W_pos"] = state["pos_embed.W_pos"][: cfg.n_ctx]
        model = cls.__new__(cls)
        made = cast(Any, model)
        made._set_up(cfg, tokenizer, default_padding_side)
        made._tokenizer_files = source.tokenizer
        made.load_and_process_state_dict(
            state,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
        if tokenizer is None:
            made._add_native_tokenizer(default_padding_side)
        return model

    @classmethod
    def from_pretrained_no_processing(
        cls: type[T],
        model_name: str,
        fold_ln: bool = False,
        center_writing_weights: bool = False,
        center_unembed: bool = False,
        refactor_factored_attn_matrices: bool = False,
        fold_value_biases: bool = False,
        dtype: Any = torch.float32,
        default_prepend_bos: bool | None = None,
        default_padding_side: str | None = None,
        **from_pretrained_kwargs: Any,
    ) -> T:
        """from_pretrained() with the checkpoint's own weights."""
        return cls.from_pretrained(
            model_name,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
            dtype=dtype,
            default_prepend_bos=default_prepend_bos,
            default_padding_side=default_padding_side,
            **from_pretrained_kwargs,
        )

    def load_and_process_state_dict(
        self,
        state_dict: dict[str, Any],
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        fold_value_biases: bool = True,
        refactor_factored_attn_matrices: bool = False,
    ) -> None:
        """Takes weights with TransformerLens's names, and processes them."""
        made = cast(Any, self)
        state = {
            name: value.detach().float().cpu().numpy() if isinstance(value, torch.Tensor) else value
            for name, value in state_dict.items()
        }
        folds = fold_ln and any(processing.is_layer_norm(name) for name in state)
        processed = processing.process(
            state,
            made.cfg.n_layers,
            fold_ln=folds,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
        if folds:
            made.cfg.normalization_type = "LNPre"
        made._set_state(processed)

    def process_weights_(
        self,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        refactor_factored_attn_matrices: bool = False,
    ) -> None:
        """load_and_process_state_dict() of the model's own weights."""
        self.load_and_process_state_dict(
            cast(Any, self).state_dict(),
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )


def _config(source: weights.Source, name: str, layers: int | None, context: int | None) -> HookedTransformerConfig:
    config, state = source.config, source.state
    total, length = int(config["n_layer"]), int(state["pos_embed.W_pos"].shape[0])
    if layers is not None and not 1 <= layers <= total:
        raise Error(f"first_n_layers={layers} is out of range: expected 1..{total}")
    if context is not None and not 1 <= context <= length:
        raise Error(f"n_ctx={context} is out of range: expected 1..{length}, the positions that have an embedding")
    width = int(state["embed.W_E"].shape[1])
    heads = int(config["n_head"])
    return HookedTransformerConfig(
        n_layers=total if layers is None else layers,
        d_model=width,
        n_ctx=length if context is None else context,
        d_head=width // heads,
        model_name=Path(name).name,
        n_heads=heads,
        d_mlp=int(state["blocks.0.mlp.W_in"].shape[1]),
        act_fn=str(config["activation_function"]),
        d_vocab=int(state["embed.W_E"].shape[0]),
        eps=float(config["layer_norm_epsilon"]),
        use_attn_scale=bool(config.get("scale_attn_weights", True)),
        scale_attn_by_inverse_layer_idx=bool(config.get("scale_attn_by_inverse_layer_idx", False)),
        initializer_range=float(config.get("initializer_range", 0.02)),
        tokenizer_name=name,
    )


def _layer(name: str) -> int:
    """The layer of a weight's name; -1 outside the blocks."""
    return int(name.split(".")[1]) if name.startswith("blocks.") else -1


def _dtype(dtype: Any) -> Any:
    if isinstance(dtype, str) and dtype not in _DTYPES:
        raise Error(f"invalid dtype {dtype!r}: expected one of {', '.join(_DTYPES)}")
    return _DTYPES[dtype] if isinstance(dtype, str) else dtype


def device_name(device: Any) -> str:
    """The name of a device, which torch has; None is the CPU."""
    if device is None:
        return "cpu"
    name = str(device)
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise Error(f"device {name!r} is not available to torch, which hooks and results need there: use device='cpu'")
    return name
