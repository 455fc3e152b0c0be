# SPDX-License-Identifier: MIT
"""The residual stream as a sum: of layers, of heads, of neurons; and what each part adds to logits."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Any, Literal

import torch

from vitrine.transformer_lens.names import get_act_name
from vitrine.transformer_lens.tensors import Slice, SliceInput, to_slice

_NORMALIZED = ("LN", "LNPre", "RMS", "RMSPre")
_CENTRED = ("LN", "LNPre")


class Decomposition:
    """The part of ActivationCache that takes the stream apart. `layer` None or -1 is the end of the stream."""

    model: Any
    cache_dict: dict[str, torch.Tensor]
    has_batch_dim: bool
    has_embed: bool
    has_pos_embed: bool

    @abstractmethod
    def __getitem__(self, key: Any) -> torch.Tensor: ...

    def accumulated_resid(
        self,
        layer: int | None = None,
        incl_mid: bool = False,
        apply_ln: bool = False,
        pos_slice: Slice | SliceInput = None,
        mlp_input: bool = False,
        return_labels: bool = False,
    ) -> Any:
        """The stream before each layer up to `layer` [layers, b, p, d]: "0_pre", "0_mid", ..., "final_post".

        `incl_mid`: also after each attention; `mlp_input`: up to the input of that layer's MLP. `apply_ln`:
        through the layernorm of the last one, with its cached scale; at the end of the stream each through
        a final layernorm of its own, as the logit lens does. `return_labels`: (stack, labels).
        """
        last = self._layer(layer)
        names: list[tuple[str, int]] = []
        for place in range(last + 1):
            if place == self.model.cfg.n_layers:
                names.append(("post", place))
                continue
            names.append(("pre", place))
            if (incl_mid and place < last) or (mlp_input and place == last):
                names.append(("mid", place))
        labels = ["final_post" if name == "post" else f"{place}_{name}" for name, place in names]
        chosen = to_slice(pos_slice)
        parts = [self[f"resid_{name}", place - (name == "post")] for name, place in names]
        stack = torch.stack([chosen.apply(part, dim=-2) for part in parts])
        if apply_ln:
            stack = self.apply_ln_to_stack(
                stack,
                last,
                mlp_input=mlp_input,
                pos_slice=chosen,
                has_batch_dim=self.has_batch_dim,
                recompute_ln=last == self.model.cfg.n_layers,
            )
        return (stack, labels) if return_labels else stack

    def decompose_resid(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        mode: Literal["all", "mlp", "attn"] = "all",
        apply_ln: bool = False,
        pos_slice: Slice | SliceInput = None,
        incl_embeds: bool = True,
        return_labels: bool = False,
    ) -> Any:
        """What is added to the stream before `layer` [parts, b, p, d]: "embed", "pos_embed", "0_attn_out", ...

        `mode`: of attention, MLPs, or both. `mlp_input`: with that layer's attention. `incl_embeds`: with
        the embeddings. The sum of all parts is the stream.
        """
        last = self._layer(layer)
        keys: list[Any] = []
        if incl_embeds:
            keys += ["embed"] * self.has_embed + ["pos_embed"] * self.has_pos_embed
        for place in range(last):
            if mode != "mlp":
                keys.append(("attn_out", place))
            if mode != "attn" and not self.model.cfg.attn_only:
                keys.append(("mlp_out", place))
        if mlp_input and mode != "mlp":
            keys.append(("attn_out", last))
        chosen = to_slice(pos_slice)
        stack = torch.stack([chosen.apply(self[key], dim=-2) for key in keys])
        if apply_ln:
            stack = self.apply_ln_to_stack(stack, last, mlp_input=mlp_input, pos_slice=chosen)
        labels = [key if isinstance(key, str) else f"{key[1]}_{key[0]}" for key in keys]
        return (stack, labels) if return_labels else stack

    def compute_head_results(self) -> None:
        """Adds hook_result of every layer [b, p, H, d] to the cache: what each head adds to the stream."""
        if self._has_head_results():
            logging.warning("Tried to compute head results when they were already cached")
            return
        for layer in range(self.model.cfg.n_layers):
            weights = self.model.blocks[layer].attn.W_O
            results = torch.einsum("...hk,hkd->...hd", self["z", layer], weights)
            self.cache_dict[get_act_name("result", layer)] = results

    def stack_head_results(
        self,
        layer: int = -1,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: Slice | SliceInput = None,
        apply_ln: bool = False,
    ) -> Any:
        """What each head of the layers before `layer` adds to the stream [L*H, b, p, d]: "L0H0", "L0H1", ...

        `incl_remainder`: also the rest of the stream, "remainder"; with layer 0, of the whole stream.
        """
        last = self._layer(layer)
        chosen = to_slice(pos_slice)
        if not self._has_head_results():
            self.compute_head_results()
        parts = [chosen.apply(self["result", place], dim=-3).movedim(-2, 0) for place in range(last)]
        labels = [f"L{place}H{head}" for place in range(last) for head in range(self.model.cfg.n_heads)]
        stack = self._joined(parts, chosen)
        if incl_remainder:
            stack = torch.cat([stack, (self._stream_before(last, chosen) - stack.sum(dim=0))[None]])
            labels.append("remainder")
        if apply_ln:
            stack = self.apply_ln_to_stack(stack, last, pos_slice=chosen)
        return (stack, labels) if return_labels else stack

    def stack_activation(self, activation_name: str, layer: int = -1, sublayer_type: str | None = None) -> torch.Tensor:
        """One activation of all layers before `layer` [L, ...]."""
        return torch.stack([self[activation_name, place, sublayer_type] for place in range(self._layer(layer))])

    def get_neuron_results(
        self,
        layer: int,
        neuron_slice: Slice | SliceInput = None,
        pos_slice: Slice | SliceInput = None,
        project_output_onto: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What each neuron of a layer adds to the stream [b, p, d_mlp, d].

        `project_output_onto` [d] or [d, n]: only along these directions, [b, p, d_mlp] or [b, p, d_mlp, n].
        """
        neurons = to_slice(neuron_slice)
        values = neurons.apply(to_slice(pos_slice).apply(self["post", layer], dim=-2), dim=-1)
        weights = neurons.apply(self.model.blocks[layer].mlp.W_out, dim=0)
        if project_output_onto is None:
            return values[..., None] * weights
        weights = weights @ project_output_onto
        return values * weights if project_output_onto.ndim == 1 else values[..., None] * weights

    def stack_neuron_results(
        self,
        layer: int,
        pos_slice: Slice | SliceInput = None,
        neuron_slice: Slice | SliceInput = None,
        return_labels: bool = False,
        incl_remainder: bool = False,
        apply_ln: bool = False,
        project_output_onto: torch.Tensor | None = None,
    ) -> Any:
        """What each neuron of the layers before `layer` adds to the stream [L*d_mlp, b, p, d]: "L0N0", ...

        `project_output_onto` [d] or [d, n]: only along these directions, [L*d_mlp, b, p] or [..., n]; without
        it the stack takes d_mlp times the memory of the stream. The others: see stack_head_results().
        """
        last = self._layer(layer)
        chosen, neurons = to_slice(pos_slice), _with_axis(neuron_slice)
        directions = _columns(project_output_onto)
        stack = self._neuron_stack(last, False, chosen, neurons, directions, apply_ln)
        labels = [f"L{place}N{n}" for place in range(last) for n in neurons.indices(self.model.cfg.d_mlp)]
        if incl_remainder:
            stream = self._seen(self._stream_before(last, chosen)[None], last, False, chosen, directions, apply_ln)
            stack = torch.cat([stack, stream - stack.sum(dim=0)])
            labels.append("remainder")
        stack = _like(stack, project_output_onto)
        return (stack, labels) if return_labels else stack

    def apply_ln_to_stack(
        self,
        residual_stack: torch.Tensor,
        layer: int | None = None,
        mlp_input: bool = False,
        pos_slice: Slice | SliceInput = None,
        batch_slice: Slice | SliceInput = None,
        has_batch_dim: bool = True,
        recompute_ln: bool = False,
    ) -> torch.Tensor:
        """Parts of the stream [parts, b, p, d] as the layernorm before `layer` hands them on.

        Each is centred and divided by the scale that the whole stream had in the pass, so that the parts
        still add up. The layernorm's weights are not applied (`fold_ln` has them in the next layer's).
        `mlp_input`: the MLP's layernorm. `pos_slice` is the part of the positions that the stack has
        already; `batch_slice` is taken of the stack too. `recompute_ln`: at the end of the stream, each
        part goes through model.ln_final alone.
        """
        kind = self.model.cfg.normalization_type
        if kind not in _NORMALIZED:
            return residual_stack
        last = self._layer(layer)
        batch = to_slice(batch_slice)
        if has_batch_dim:
            residual_stack = batch.apply(residual_stack, dim=1)
        if recompute_ln and last == self.model.cfg.n_layers and hasattr(self.model, "ln_final"):
            return torch.stack([self._final_norm(part, has_batch_dim) for part in residual_stack])
        if kind in _CENTRED:
            residual_stack = residual_stack - residual_stack.mean(dim=-1, keepdim=True)
        return residual_stack / self._scale(last, mlp_input, to_slice(pos_slice), batch)

    def logit_attrs(
        self,
        residual_stack: torch.Tensor,
        tokens: Any,
        incorrect_tokens: Any = None,
        pos_slice: Slice | SliceInput = None,
        batch_slice: Slice | SliceInput = None,
        has_batch_dim: bool = True,
    ) -> torch.Tensor:
        """What each part of the stream [parts, b, p, d] adds to the logits of `tokens` [parts, b, p].

        `tokens`: a text of one token, an id, or ids [b] or [b, p]. `incorrect_tokens`: in the same form; the
        result is the difference to their logits. The slices: see apply_ln_to_stack().
        """
        directions = self.model.tokens_to_residual_directions(tokens)
        if incorrect_tokens is not None:
            shapes = [self._token_shape(given) for given in (tokens, incorrect_tokens)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    "tokens and incorrect_tokens must have the same shape! "
                    f"(tokens.shape={shapes[0]}, incorrect_tokens.shape={shapes[1]})"
                )
            directions = directions - self.model.tokens_to_residual_directions(incorrect_tokens)
        scaled = self.apply_ln_to_stack(
            residual_stack, pos_slice=pos_slice, batch_slice=batch_slice, has_batch_dim=has_batch_dim
        )
        return (scaled * directions).sum(dim=-1)

    def get_full_resid_decomposition(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        expand_neurons: bool = True,
        apply_ln: bool = False,
        pos_slice: Slice | SliceInput = None,
        return_labels: bool = False,
        project_output_onto: torch.Tensor | None = None,
    ) -> Any:
        """All parts of the stream before `layer` [parts, b, p, d]: heads, neurons, "embed", "pos_embed", "bias".

        Without `expand_neurons` MLPs take the neurons' place. `project_output_onto` [d] or [d, n]: only along
        these directions, [parts, b, p] or [..., n], without the memory of the whole stack.
        """
        last = self._layer(layer)
        chosen, directions = to_slice(pos_slice), _columns(project_output_onto)
        heads, labels = self.stack_head_results(last + mlp_input, pos_slice=chosen, return_labels=True)
        parts = [heads]
        expanded = None
        if not self.model.cfg.attn_only and last > 0:
            if expand_neurons:
                expanded = self._neuron_stack(last, mlp_input, chosen, Slice(), directions, apply_ln)
                labels += [f"L{place}N{n}" for place in range(last) for n in range(self.model.cfg.d_mlp)]
            else:
                mlps, names = self.decompose_resid(
                    last, mode="mlp", pos_slice=chosen, incl_embeds=False, return_labels=True
                )
                parts.append(mlps)
                labels += names
        for name in ["embed"] * self.has_embed + ["pos_embed"] * self.has_pos_embed:
            parts.append(chosen.apply(self[name], dim=-2)[None])
            labels.append(name)
        bias = self.model.accumulated_bias(last, mlp_input, include_mlp_biases=expand_neurons)
        parts.append(bias.expand((1, *heads.shape[1:])))
        labels.append("bias")
        stacks = [self._seen(part, last, mlp_input, chosen, directions, apply_ln) for part in parts]
        if expanded is not None:
            stacks.insert(1, expanded)
        stack = _like(torch.cat(stacks), project_output_onto)
        return (stack, labels) if return_labels else stack

    def _layer(self, layer: int | None) -> int:
        last: int = self.model.cfg.n_layers if layer is None or layer == -1 else layer
        return last

    def _has_head_results(self) -> bool:
        # In some models hook_result is the sum over heads, which has an axis less.
        results = self.cache_dict.get(get_act_name("result", 0))
        return results is not None and results.ndim - self.has_batch_dim == 3

    def _stream_before(self, layer: int, chosen: Slice) -> torch.Tensor:
        # Before layer 0 it is layer -1, the last one, as TransformerLens's own tests say.
        return chosen.apply(self["resid_post", layer - 1], dim=-2)

    def _seen(
        self,
        stack: torch.Tensor,
        layer: int,
        mlp_input: bool,
        chosen: Slice,
        directions: torch.Tensor | None,
        apply_ln: bool,
    ) -> torch.Tensor:
        """The parts [parts, b, p, d] after the layernorm, if requested, and along the directions [d, n]."""
        if apply_ln:
            stack = self.apply_ln_to_stack(stack, layer, mlp_input=mlp_input, pos_slice=chosen)
        return stack if directions is None else stack @ directions

    def _neuron_stack(
        self,
        layer: int,
        mlp_input: bool,
        chosen: Slice,
        neurons: Slice,
        directions: torch.Tensor | None,
        apply_ln: bool,
    ) -> torch.Tensor:
        """_seen() of all neurons before `layer`; with directions, nothing of d times the activations is made."""
        normed = apply_ln and self.model.cfg.normalization_type in _NORMALIZED
        parts = []
        for place in range(layer):
            values = neurons.apply(chosen.apply(self["post", place], dim=-2), dim=-1)
            weights = neurons.apply(self.model.blocks[place].mlp.W_out, dim=0)
            if normed and self.model.cfg.normalization_type in _CENTRED:
                weights = weights - weights.mean(dim=-1, keepdim=True)
            if normed:
                values = values / self._scale(layer, mlp_input, chosen, Slice())
            if directions is not None:
                weights = weights @ directions
            parts.append((values[..., None] * weights).movedim(-2, 0))
        return self._joined(parts, chosen, directions)

    def _joined(self, parts: list[torch.Tensor], chosen: Slice, directions: torch.Tensor | None = None) -> torch.Tensor:
        """The parts along their first axis; of none, an empty stack."""
        if parts:
            return torch.cat(parts)
        stream = chosen.apply(self["hook_embed"], dim=-2)
        return (stream if directions is None else stream @ directions)[None][:0]

    def _scale(self, layer: int, mlp_input: bool, chosen: Slice, batch: Slice) -> torch.Tensor:
        """The scale [b, p, 1] that a layernorm divided by in the pass."""
        final = layer == self.model.cfg.n_layers
        name = get_act_name("scale", None if final else layer, None if final else f"ln{2 if mlp_input else 1}")
        if name not in self.cache_dict:
            raise KeyError(f"Cached LN scale not found at '{name}': the pass must keep it for apply_ln and logit_attrs")
        scale = chosen.apply(self.cache_dict[name], dim=-2)
        return batch.apply(scale) if self.has_batch_dim else scale

    def _final_norm(self, part: torch.Tensor, has_batch_dim: bool) -> torch.Tensor:
        """model.ln_final of [b, p, d], or of that without its first axes."""
        rows = part if has_batch_dim else part[None]
        rows = rows if rows.ndim > 2 else rows[:, None]
        out: torch.Tensor = self.model.ln_final(rows)
        return out.reshape(part.shape)

    def _token_shape(self, tokens: Any) -> tuple[int, ...]:
        """The shape of ids; a text of one token has none."""
        if isinstance(tokens, str):
            tokens = self.model.to_single_token(tokens)
        return tuple(torch.as_tensor(tokens).shape)


def _columns(projection: torch.Tensor | None) -> torch.Tensor | None:
    """Directions as a matrix [d, n]."""
    return projection[:, None] if projection is not None and projection.ndim == 1 else projection


def _like(stack: torch.Tensor, projection: torch.Tensor | None) -> torch.Tensor:
    """The stack without the axis of directions if one alone was given."""
    return stack.squeeze(-1) if projection is not None and projection.ndim == 1 else stack


def _with_axis(neurons: Slice | SliceInput) -> Slice:
    """What a stack takes of the neurons: an int is a list of one, as there is an axis of neurons."""
    chosen = to_slice(neurons)
    return Slice([chosen.slice]) if chosen.mode == "int" else chosen
