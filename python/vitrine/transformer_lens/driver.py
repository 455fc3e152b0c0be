# SPDX-License-Identifier: MIT
"""A driver of TransformerLens 4: its bridge runs on the engine, with every site, patterns and gradients.

    cfg = build_bridge_config_from_hf(AutoConfig.from_pretrained(path), "GPT2LMHeadModel", path, torch.float32)
    adapter = ArchitectureAdapterFactory.select_architecture_adapter(cfg)
    driver = VitrineDriver(vitrine.Model.load(path), adapter.cfg, tokenizer)
    bridge = RemoteBridge(adapter, tokenizer, driver)

(transformer_lens.model_bridge has the classes of the example.) It meets the driver protocol by its members'
names; TransformerLens is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Capture, Edit, Model, RunBatch, Target
from vitrine.error import Error
from vitrine.transformer_lens.bridge_names import Place, places

Array = npt.NDArray[np.float32]
Intervention = Union["Mapping[str, Any]", "Callable[[Array], Any]"]

_KEYS = {"suppress": (), "scale": ("factor",), "add": ("value",), "set": ("value",)}
_SIZES = {"n_layers": "layers", "n_heads": "heads", "d_model": "width", "d_vocab": "vocab"}


@dataclass(frozen=True)
class ForwardResult:
    """One forward call's outputs: arrays of float32 that own their memory."""

    logits: Array | None = None
    """[batch, pos, d_vocab]; -inf where the attention mask is 0"""
    captured: Mapping[str, Array] = field(default_factory=dict)
    """by the requested names, [batch, pos, ...]; 0 where the attention mask is 0"""
    new_tokens: None = None
    raw_output: RunBatch | None = None
    """the engine's own result, without padding"""


class NotServed(Error, NotImplementedError):
    """What the protocol's errors are for a part of it that a driver lacks."""


class VitrineDriver:
    """Runs the passes of a TransformerLens 4 RemoteBridge on a vitrine.Model.

    `bridge_config` is the adapter's, whose sizes must be the model's. Names of sites are the bridge's
    ("blocks.0.hook_in", "embed.hook_out") or TransformerLens's older ones ("blocks.0.hook_resid_pre",
    "hook_embed"). hook_normalized is before the layernorm's weight, as in the bridge; ln1.hook_out is after it.
    """

    provides_sequence_logits = True
    non_fireable_hook_points: frozenset[str] = frozenset()
    _supported_features = frozenset({"gradients", "intervention_callbacks"})

    def __init__(self, model: Model, bridge_config: Any, tokenizer: Any = None) -> None:
        for theirs, ours in _SIZES.items():
            given, own = getattr(bridge_config, theirs), getattr(model.config, ours)
            if given != own:
                raise Error(f"bridge_config.{theirs} is {given}, the model's is {own}: give the model's own config")
        self.model = model
        self.bridge_config = bridge_config
        self.tokenizer = tokenizer
        self.architecture: str = getattr(bridge_config, "architecture", None) or "GPT2LMHeadModel"
        self._places = places(model.config.layers)
        self.supported_hook_points = frozenset(name for name, place in self._places.items() if not place.alias)

    def supports(self, feature: str) -> bool:
        """Whether it has a feature of the protocol: "gradients" and "intervention_callbacks"."""
        return feature in self._supported_features

    def close(self) -> None:
        """Nothing: the model is the caller's."""

    def forward(
        self,
        input_ids: Any = None,
        *,
        capture: Sequence[str] = (),
        intervene: Mapping[str, Intervention] | None = None,
        max_new_tokens: int = 1,
        return_logits: bool = True,
        attention_mask: Any = None,
        output_attentions: bool = False,
        **kwargs: Any,
    ) -> ForwardResult:
        """One pass over tokens [pos] or [batch, pos].

        `intervene`: by name {"op": "suppress" | "scale" | "add" | "set", "factor" or "value", "pos"}, or a
        function, which is called for each sequence with values [1, pos, ...] and returns the new ones. `pos`:
        an int or several; without it all positions. A value is a number or a whole row. Maps (patterns,
        scores) have queries as positions and take numbers alone. `attention_mask`: 0 before or after each
        sequence's tokens. The bridge passes `output_attentions`; patterns are what `capture` names.
        """
        del output_attentions
        if kwargs:
            raise Error(f"unknown arguments of a forward pass: {', '.join(sorted(kwargs))}")
        if max_new_tokens != 1:
            raise NotServed(
                f"max_new_tokens is {max_new_tokens}, expected max_new_tokens=1: Model.generate continues prompts"
            )
        spans = _Spans(input_ids, attention_mask)
        sites = {site for name in capture for site in self._place(name).sites()}
        run = self.model.run(
            spans.prompts,
            capture=[Capture(site) for site in sorted(sites)],
            edits=self._edits(intervene or {}, spans),
            logits="all" if return_logits else "none",
        )
        runs = [run[i] for i in range(len(run))]
        captured = {
            name: spans.padded([self._place(name).value(one.captures) for one in runs], self._place(name).is_map)
            for name in capture
        }
        logits = spans.padded([one.logits for one in runs], fill=-np.inf) if return_logits else None
        return ForwardResult(logits, captured, raw_output=run)

    def gradients(
        self,
        input_ids: Any,
        target: Target | Sequence[Target],
        wrt: Sequence[str],
        *,
        intervene: Mapping[str, Intervention] | None = None,
        attention_mask: Any = None,
    ) -> dict[str, Array]:
        """Gradients of a number, or of one for each sequence, at sites: by name [batch, pos, ...]."""
        spans = _Spans(input_ids, attention_mask)
        found = self.model.gradients(
            spans.prompts,
            target,
            wrt=[Capture(self._place(name).edited()) for name in wrt],
            edits=self._edits(intervene or {}, spans),
        )
        return {
            name: spans.padded([one[self._place(name).site] for one in found], self._place(name).is_map) for name in wrt
        }

    def _place(self, name: str) -> Place:
        if name not in self._places:
            raise Error(f"unknown hook point '{name}': driver.supported_hook_points lists all names")
        return self._places[name]

    def _edits(self, interventions: Mapping[str, Intervention], spans: _Spans) -> list[Edit]:
        edits: list[Edit] = []
        for name, intervention in interventions.items():
            site = self._place(name).edited()
            if callable(intervention):
                edits.append(Edit.function(site, _called(intervention)))
                continue
            positions = _checked(name, intervention)
            for selection in spans.selections(name, positions):
                edits.append(_edit(site, intervention, selection))
        return edits


def _called(function: Callable[[Array], Any]) -> Callable[[Array, Any], None]:
    def call(values: Array, _place: Any) -> None:
        values[...] = np.asarray(function(values[None]))[0]

    return call


def _checked(name: str, spec: Mapping[str, Any]) -> list[int] | None:
    """The positions of an intervention, which must be complete and have nothing else."""
    if not isinstance(spec, Mapping) or spec.get("op") not in _KEYS:
        raise Error(f"the intervention at {name} is {spec!r}: expected 'op' to be one of {', '.join(_KEYS)}")
    needed = set(_KEYS[spec["op"]])
    missing, unknown = needed - set(spec), set(spec) - needed - {"op", "pos"}
    if missing or unknown:
        words = [f"missing {key}" for key in sorted(missing)] + [f"unknown {key}" for key in sorted(unknown)]
        raise Error(f"the intervention at {name} with op '{spec['op']}': {', '.join(words)}")
    pos = spec.get("pos")
    if pos is None:
        return None
    return [pos] if isinstance(pos, int) else list(pos)


def _edit(site: str, spec: Mapping[str, Any], selection: Mapping[str, Any]) -> Edit:
    op = spec["op"]
    if op == "suppress":
        return Edit.zero(site, **selection)
    if op == "scale":
        return Edit.scale(site, float(spec["factor"]), **selection)
    row = np.asarray(spec["value"], dtype=np.float32).reshape(-1)
    return (Edit.add if op == "add" else Edit.replace)(site, row, **selection)


class _Spans:
    """The tokens of each sequence, and where they are in [batch, pos]."""

    def __init__(self, input_ids: Any, attention_mask: Any) -> None:
        if input_ids is None:
            raise Error("missing input_ids: expected tokens [batch, pos]")
        tokens = np.atleast_2d(np.asarray(input_ids))
        mask = np.ones(tokens.shape, bool) if attention_mask is None else np.atleast_2d(np.asarray(attention_mask)) != 0
        if mask.shape != tokens.shape:
            raise Error(f"attention_mask has the shape {mask.shape}, expected that of input_ids, {tokens.shape}")
        self.length = tokens.shape[1]
        self.ranges: list[range] = []
        for row in mask:
            kept = np.flatnonzero(row)
            if not len(kept) or kept[-1] - kept[0] + 1 != len(kept):
                raise Error("attention_mask has a gap in a sequence, or none of its tokens: expected one run of ones")
            self.ranges.append(range(int(kept[0]), int(kept[-1]) + 1))
        self.prompts = [[int(token) for token in row[span.start : span.stop]] for row, span in zip(tokens, self.ranges)]

    def selections(self, name: str, positions: list[int] | None) -> list[dict[str, Any]]:
        """What an edit selects: one selection for all sequences, or one each where they begin at different places."""
        if positions is None:
            return [{}]
        for position in positions:
            if not all(position in span for span in self.ranges):
                raise Error(f"the intervention at {name} has pos {position}, where a sequence has no token")
        starts = [span.start for span in self.ranges]
        if len(set(starts)) == 1:
            return [{"positions": [position - starts[0] for position in positions]}]
        return [
            {"positions": [position - start for position in positions], "sequences": i}
            for i, start in enumerate(starts)
        ]

    def padded(self, values: Sequence[Array], is_map: bool = False, fill: float = 0.0) -> Array:
        """Arrays of the sequences' tokens as one of [batch, pos, ...], of maps [batch, head, pos, pos]."""
        shape = list(values[0].shape)
        axes = (1, 2) if is_map else (0,)
        for axis in axes:
            shape[axis] = self.length
        padded = np.full((len(values), *shape), fill, np.float32)
        for into, value, span in zip(padded, values, self.ranges):
            index: list[Any] = [slice(None)] * value.ndim
            for axis in axes:
                index[axis] = slice(span.start, span.stop)
            into[tuple(index)] = value
        return padded
