# SPDX-License-Identifier: MIT
"""HookedTransformer: TransformerLens's model, whose passes the engine runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from vitrine._vitrine import Model
from vitrine.error import Error
from vitrine.transformer_lens import checkpoint, components
from vitrine.transformer_lens.captures import Plans
from vitrine.transformer_lens.config import HookedTransformerConfig
from vitrine.transformer_lens.generation import Generation
from vitrine.transformer_lens.hook_points import HookPoint
from vitrine.transformer_lens.inputs import SWITCHES, Inputs, check_function, has_heads
from vitrine.transformer_lens.key_value_cache import HookedTransformerKeyValueCache
from vitrine.transformer_lens.loading import Loading, device_name
from vitrine.transformer_lens.model_weights import ModelWeights
from vitrine.transformer_lens.padding import Padding
from vitrine.transformer_lens.passes import Logits, Pass, Request
from vitrine.transformer_lens.predictions import lm_cross_entropy_loss
from vitrine.transformer_lens.site import Site
from vitrine.transformer_lens.texts import get_attention_mask
from vitrine.transformer_lens.tokenizer import Tokenizer
from vitrine.transformer_lens.tokens import Tokens
from vitrine.transformer_lens.utils import USE_DEFAULT_VALUE, LocallyOverridenDefaults


class Output(NamedTuple):
    """Result with return_type="both"."""

    logits: torch.Tensor
    loss: torch.Tensor


class HookedTransformer(Loading, Tokens, Generation, ModelWeights):
    """A GPT-2 with TransformerLens's names. Weights are constants of the engine, `native`."""

    def __init__(
        self,
        cfg: HookedTransformerConfig | dict[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
        default_padding_side: str | None = None,
    ) -> None:
        """A model with random weights. `cfg` must give d_vocab, or `tokenizer` does."""
        self._set_up(HookedTransformerConfig.unwrap(cfg), tokenizer, default_padding_side)
        if not move_to_device:
            raise Error("move_to_device=False is not supported: the engine has the weights where cfg.device says")
        self._set_state(self._random_state())

    def _set_up(self, cfg: HookedTransformerConfig, tokenizer: Any, padding_side: str | None) -> None:
        self.cfg = cfg
        self.tokenizer = None
        self.training = True
        self._tokenizer_files: dict[str, bytes] = {}
        self._anchor = torch.zeros((), requires_grad=True)
        if tokenizer is not None:
            self.set_tokenizer(tokenizer, padding_side)
            if cfg.d_vocab == -1:
                cfg.d_vocab = cfg.d_vocab_out = max(tokenizer.get_vocab().values()) + 1
        if cfg.d_vocab == -1:
            raise Error("cfg.d_vocab is missing: give it, or a tokenizer")

    def _set_state(self, state: Mapping[str, Any]) -> None:
        """Makes the engine's model and the parts with these arrays, by TransformerLens's names."""
        arrays = {name: np.asarray(values, np.float32) for name, values in state.items()}
        cfg = self.cfg
        self.native: Model = checkpoint.load(cfg, arrays, self._tokenizer_files)
        self._plans = Plans(self.native)
        weights = self._stacked(arrays)
        parts = components.named_part
        self.embed = components.Embed("embed", parts(weights, "embed."))
        self.pos_embed = components.PosEmbed("pos_embed", parts(weights, "pos_embed."))
        self.hook_embed, self.hook_pos_embed = HookPoint("hook_embed"), HookPoint("hook_pos_embed")
        self.blocks = [components.TransformerBlock(self, layer, weights, cfg) for layer in range(cfg.n_layers)]
        self.ln_final = components.LayerNorm("ln_final", parts(weights, "ln_final."), cfg.eps)
        self.unembed = components.Unembed("unembed", parts(weights, "unembed."), ("in", "out"))
        self.setup()

    def setup(self) -> None:
        """Lists the parts by name."""
        self.mod_dict, self.hook_dict = {}, {}
        for part in (
            self.embed,
            self.hook_embed,
            self.pos_embed,
            self.hook_pos_embed,
            *self.blocks,
            self.ln_final,
            self.unembed,
        ):
            for found in _parts(part):
                self.mod_dict[found.name] = found
                if isinstance(found, HookPoint):
                    self.hook_dict[found.name] = found
        layers = self.cfg.n_layers
        # -1 is before the blocks, n_layers after them.
        outside = {name: -1 if name in ("hook_embed", "hook_pos_embed") else layers for name in components.ends()}
        self._order = [
            (outside[name] if name in outside else self.hook_dict[name].layer(), self.hook_dict[name])
            for name in components.sites(layers)
        ]

    def forward(
        self,
        input: Any,
        return_type: str | None = "logits",
        loss_per_token: bool = False,
        prepend_bos: bool | None = USE_DEFAULT_VALUE,
        padding_side: str | None = USE_DEFAULT_VALUE,
        start_at_layer: int | None = None,
        tokens: torch.Tensor | None = None,
        shortformer_pos_embed: None = None,
        attention_mask: torch.Tensor | None = None,
        stop_at_layer: int | None = None,
        past_kv_cache: HookedTransformerKeyValueCache | None = None,
    ) -> Any:
        """One pass over a text, several, or tokens [batch, pos].

        `return_type`: "logits" [batch, pos, d_vocab], "loss" (mean cross-entropy of the next token, or
        [batch, pos - 1] with `loss_per_token`), "both", or None. `start_at_layer`: `input` is the residual stream
        [batch, pos, d_model] before this layer. `stop_at_layer`: returns the residual stream before this layer;
        later ones do not run. `attention_mask` [batch, pos]: 0 for padding; by default left padding alone is
        masked. Only layers that the result and the hooks need are computed.
        """
        if shortformer_pos_embed is not None:
            raise Error("shortformer_pos_embed is not supported: GPT-2 adds position embeddings to the residual stream")
        if return_type not in ("logits", "loss", "both", None):
            raise Error(f"invalid return_type {return_type!r}: expected 'logits', 'loss', 'both' or None")
        with LocallyOverridenDefaults(self, prepend_bos=prepend_bos, padding_side=padding_side):
            residual: torch.Tensor | None = None
            if start_at_layer is None:
                tokens, attention_mask = self._inputs(input, attention_mask, past_kv_cache)
            else:
                if not isinstance(input, torch.Tensor) or input.ndim != 3:
                    raise Error("start_at_layer needs the residual stream [batch, pos, d_model] as input")
                residual = input
            stop = self._layer(stop_at_layer)
            logits: Logits = "none" if return_type is None else "all"
            out = self._run(
                tokens, residual, self._layer(start_at_layer) or 0, stop, attention_mask, past_kv_cache, logits
            )
            if stop is not None or return_type in (None, "logits"):
                return out
            assert out is not None
            assert tokens is not None, "tokens must be passed in if return_type is 'loss' or 'both'"
            loss = self.loss_fn(out, tokens, attention_mask, loss_per_token)
            return loss if return_type == "loss" else Output(out, loss)

    def input_to_embed(
        self,
        input: Any,
        prepend_bos: bool | None = USE_DEFAULT_VALUE,
        padding_side: str | None = USE_DEFAULT_VALUE,
        attention_mask: torch.Tensor | None = None,
        past_kv_cache: None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor, None, torch.Tensor | None]:
        """(residual, tokens, None, attention mask): the residual stream [batch, pos, d_model] before layer 0."""
        if past_kv_cache is not None:
            raise Error(
                "past_kv_cache is not supported: model(..., past_kv_cache=, stop_at_layer=0) returns the stream"
            )
        with LocallyOverridenDefaults(self, prepend_bos=prepend_bos, padding_side=padding_side):
            tokens, mask = self._inputs(input, attention_mask, None)
            return self._run(tokens, None, 0, 0, mask, None, "none"), tokens, None, mask

    def loss_fn(
        self,
        logits: torch.Tensor,
        tokens: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        per_token: bool = False,
    ) -> torch.Tensor:
        """Cross-entropy of each next token, or its mean."""
        return lm_cross_entropy_loss(logits, tokens.to(logits.device), attention_mask, per_token)

    def _inputs(
        self, input: Any, mask: torch.Tensor | None, cache: HookedTransformerKeyValueCache | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Tokens [batch, pos], and the mask of all positions if there is one."""
        if isinstance(input, (str, list)):
            assert self.tokenizer is not None, "Must provide a tokenizer if passing a string to the model"
            tokens = self.to_tokens(input)
        else:
            tokens = input if isinstance(input, torch.Tensor) else torch.as_tensor(input)
        if tokens.is_floating_point():
            raise Error("the tokens are not integers: a residual stream needs start_at_layer")
        tokens = (tokens[None] if tokens.ndim == 1 else tokens).to(self.cfg.device)
        left = self.tokenizer is not None and self.tokenizer.padding_side == "left"
        if mask is None and (left or cache is not None):
            mask = get_attention_mask(self.tokenizer, tokens, self.cfg.default_prepend_bos)
        if mask is not None:
            assert mask.shape == tokens.shape, (
                f"Attention mask shape {mask.shape} does not match tokens shape {tokens.shape}"
            )
            mask = mask.to(self.cfg.device)
            if cache is not None:
                mask = cache.append_attention_mask(mask)
        return tokens, mask

    def _layer(self, layer: int | None) -> int | None:
        """A layer's number from 0 to n_layers; negative ones count from the end."""
        if layer is None:
            return None
        return min(max(layer + self.cfg.n_layers if layer < 0 else layer, 0), self.cfg.n_layers)

    def _run(
        self,
        tokens: torch.Tensor | None,
        residual: torch.Tensor | None,
        start: int,
        stop: int | None,
        mask: torch.Tensor | None,
        cache: HookedTransformerKeyValueCache | None,
        logits: Logits,
    ) -> torch.Tensor | None:
        """A pass. `mask` [batch, past + pos]."""
        self._check_weights()
        if residual is not None and stop is not None and stop <= start:
            return residual
        given = tokens if residual is None else residual
        assert given is not None
        ids = np.zeros(given.shape[:2], np.int64) if residual is not None else given.cpu().numpy().astype(np.int64)
        padding = None
        if mask is not None and not bool(mask.all()):
            seen = mask.bool().cpu().numpy()
            padding = Padding(seen, seen.shape[1] - ids.shape[1], self.W_pos.float().cpu().numpy())
        request = Request(ids, residual, start, stop, padding, cache, logits)
        # Functions at hooks can bring values that require gradients, where nothing else does.
        graph = torch.is_grad_enabled()
        sites = self._sites(request)
        if cache is not None:
            if graph and any(site.backward for site in sites):
                raise Error("backward hooks are not supported with past_kv_cache: run all tokens in one pass")
            graph = False
        inputs = Inputs(self.blocks, self.cfg)
        out = Pass(
            self.native, self._plans, request, self.cfg.dtype, self.cfg.device, sites, inputs, graph, self._anchor
        ).run()
        if cache is not None and not cache.frozen:
            assert mask is not None
            cache.previous_attention_mask = mask
        return out

    def _sites(self, request: Request) -> list[Site]:
        """The hook points that a pass reaches and that have functions."""
        found = []
        layers, cfg = self.cfg.n_layers, self.cfg
        off = tuple(ending for ending, switch in SWITCHES.items() if not getattr(cfg, switch))
        first = -1 if request.residual is None else request.start
        end = layers if request.stop is None else request.stop
        for layer, point in self._order:
            if not point.fwd_hooks and not point.bwd_hooks:
                continue
            if point.name.endswith(off):
                continue
            if first <= layer < end or (layer == layers and request.stop is None):
                forward = [handle.user_hook for handle in point.fwd_hooks]
                backward = [handle.user_hook for handle in point.bwd_hooks]
                copies = cfg.n_heads if has_heads(point.name, cfg) else 0
                found.append(Site(point, forward, backward, self._affine(point.name), copies))
                if not found[-1].captured() or backward:
                    check_function(point.name, cfg)
        return found

    def _affine(self, name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Weight and bias between the engine's site and this one: the engine's layernorms are folded."""
        if name != "unembed.hook_in" or "ln_final.w" not in self._weights:
            return None
        return self.ln_final.w, self.ln_final.b

    def eval(self) -> HookedTransformer:
        """The model: it has no dropout."""
        self.training = False
        return self

    def train(self, mode: bool = True) -> HookedTransformer:
        """The model: it has no dropout, and its weights are constants."""
        self.training = mode
        return self

    def requires_grad_(self, requires_grad: bool = True) -> HookedTransformer:
        """Whether outputs take part in torch's graph although no input does, as a trainable model's do."""
        self._anchor.requires_grad_(requires_grad)
        return self

    def to(self, device_or_dtype: Any, print_details: bool = True) -> HookedTransformer:
        """The model, if it is there and has that type already; otherwise it is loaded anew."""
        is_type = isinstance(device_or_dtype, torch.dtype)
        name, value = ("dtype", device_or_dtype) if is_type else ("device", device_name(device_or_dtype))
        if getattr(self.cfg, name) != value:
            setattr(self.cfg, name, value)
            if print_details:
                print(f"Changing model {name} to", value)
            self._set_state(self._arrays())
        return self

    def cpu(self) -> HookedTransformer:
        """The model on the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> HookedTransformer:
        """The model on a GPU."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    def __repr__(self) -> str:
        return f"HookedTransformer({self.cfg.model_name}, {self.native!r})"

    def _add_native_tokenizer(self, padding_side: str | None) -> None:
        """The checkpoint's own tokenizer, where it has one."""
        try:
            native = self.native.tokenizer
        except Error:
            return
        self.set_tokenizer(Tokenizer(native, self.cfg.model_name), padding_side)


def _parts(part: Any) -> Iterator[Any]:
    """A part and all parts in it."""
    yield part
    if isinstance(part, components.Component):
        for child in list(vars(part).values()):
            if isinstance(child, (components.Component, HookPoint)):
                yield from _parts(child)
