# SPDX-License-Identifier: MIT
"""Captum's attribution classes over the engine's gradients, with Captum's arguments and shapes.

    from vitrine.captum import IntegratedGradients, LayerIntegratedGradients

    embeddings = model.embed(ids)[None]                                    # [B, T, D]
    attributions = IntegratedGradients(model).attribute(embeddings, target=token)
    attributions, delta = LayerIntegratedGradients(model, "hook_embed").attribute(
        [ids], target=token, return_convergence_delta=True)

A target is a token of the last position, or (position, token); a list has one for each example.
Results are torch's tensors where it is installed, otherwise arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Model, Target
from vitrine.error import Error
from vitrine.integration import Floats, Ids, mean_gradient, slopes
from vitrine.pages import Page, grid
from vitrine.tensors import encode, refuse, to_floats, to_ids, to_numpy, to_tensor, token_texts

_TARGETS: dict[str, Callable[[int, int], Target]] = {
    "logit": Target.logit,
    "log_prob": Target.log_prob,
    "prob": Target.prob,
}


class Forward:
    """A model as a forward function: what is differentiated of the target token."""

    def __init__(self, model: Model, value: Literal["logit", "log_prob", "prob"] = "logit") -> None:
        if value not in _TARGETS:
            raise Error(f"unknown value {value!r}: expected logit, log_prob or prob")
        self.model, self.value = model, value

    def targets(self, pairs: Sequence[tuple[int, int]]) -> list[Target]:
        """What is differentiated at each (position, token)."""
        return [_TARGETS[self.value](token, position) for position, token in pairs]


class _Attribution:
    """What all methods share: the model, the site, the form of the inputs."""

    forward_func: Forward
    site: str | None

    def __init__(self, forward_func: Model | Forward, site: str | None = None) -> None:
        if isinstance(forward_func, Model):
            forward_func = Forward(forward_func)
        if not isinstance(forward_func, Forward):
            raise Error(
                f"invalid forward function of type {type(forward_func).__name__}: expected a vitrine.Model or "
                "vitrine.captum.Forward; for a Python function use Captum itself with vitrine.torch.forward"
            )
        self.forward_func, self.site = forward_func, site

    def _read(self, inputs: Any, name: str = "inputs") -> tuple[Ids, Floats]:
        """Ids [B, T], and the values [B, T, ...] that are attributed to."""
        if isinstance(inputs, tuple):
            raise Error(f"invalid {name}: expected one tensor, found a tuple; a model has one input")
        model = self.forward_func.model
        if self.site is None:
            values = to_floats(inputs, f"{name} (token ids are read by the Layer classes)")
            if values.ndim != 3 or values.shape[2] != model.config.width or not values.size:
                expected = f"embeddings [B, T, {model.config.width}]"
                raise Error(f"invalid {name} of shape {list(values.shape)}: expected {expected}")
            return np.zeros(values.shape[:2], np.int64), values
        ids = to_ids(inputs, name)
        if ids.ndim != 2 or not ids.size:
            raise Error(f"invalid {name} of shape {list(ids.shape)}: expected token ids [B, T]")
        run = model.run(ids.tolist(), capture=self.site, logits="none")
        if run.keys() != [self.site]:
            raise Error(f"invalid layer {self.site!r}: expected the name of one site")
        return ids, np.stack([run[n][self.site] for n in range(len(run))])

    def _slopes(
        self, ids: Ids, values: Floats, targets: Sequence[tuple[int, int]], rows: int | None = None
    ) -> tuple[npt.NDArray[np.float64], Floats]:
        aims = self.forward_func.targets(targets)
        return slopes(self.forward_func.model, ids, self.site or "hook_embed", values, aims, rows)


def _targets(target: Any, examples: int) -> list[tuple[int, int]]:
    """(position, token) of each example."""
    if target is None:
        raise Error("missing target: expected a token id, or (position, token)")
    if not isinstance(target, tuple):
        target = target if isinstance(target, list) else to_numpy(target).tolist()
    given = target if isinstance(target, list) else [target] * examples
    given = given * examples if len(given) == 1 else given
    if len(given) != examples:
        raise Error(f"invalid target of {len(given)} elements: expected one for each of {examples} examples")
    pairs = [one if isinstance(one, tuple) else (-1, one) for one in given]
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(part, (int, np.integer)) for part in pair):
            raise Error(f"invalid target {pair!r}: expected a token id, or (position, token)")
    return [(int(position), int(token)) for position, token in pairs]


class Saliency(_Attribution):
    """Gradients of the target at the embeddings [B, T, D], absolute unless `abs=False`."""

    def __init__(self, forward_func: Model | Forward) -> None:
        super().__init__(forward_func)

    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        abs: bool = True,
        additional_forward_args: None = None,
    ) -> Any:
        refuse({"additional_forward_args": additional_forward_args}, "Saliency.attribute")
        ids, values = self._read(inputs)
        _, gradients = self._slopes(ids, values, _targets(target, len(ids)))
        return to_tensor(np.abs(gradients) if abs else gradients)


class InputXGradient(_Attribution):
    """Embeddings [B, T, D] times the gradients of the target at them."""

    def __init__(self, forward_func: Model | Forward) -> None:
        super().__init__(forward_func)

    def attribute(self, inputs: Any, target: Any = None, additional_forward_args: None = None) -> Any:
        refuse({"additional_forward_args": additional_forward_args}, "InputXGradient.attribute")
        ids, values = self._read(inputs)
        return to_tensor(values * self._slopes(ids, values, _targets(target, len(ids)))[1])


class LayerGradientXActivation(_Attribution):
    """Activations of a site, by its name, times the gradients of the target at them."""

    def __init__(
        self,
        forward_func: Model | Forward,
        layer: str,
        device_ids: None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        refuse({"device_ids": device_ids}, "LayerGradientXActivation", "Model.load(device=) has it")
        super().__init__(forward_func, layer)
        self.multiplies_by_inputs = multiply_by_inputs

    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: None = None,
        attribute_to_layer_input: bool = False,
        grad_kwargs: None = None,
    ) -> Any:
        given = {"additional_forward_args": additional_forward_args, "grad_kwargs": grad_kwargs}
        refuse(given | {"attribute_to_layer_input": attribute_to_layer_input or None}, "attribute")
        ids, values = self._read(inputs)
        gradients = self._slopes(ids, values, _targets(target, len(ids)))[1]
        return to_tensor(values * gradients if self.multiplies_by_inputs else gradients)


class IntegratedGradients(_Attribution):
    """Integrated gradients (Sundararajan 2017) at the embeddings [B, T, D]."""

    def __init__(self, forward_func: Model | Forward, multiply_by_inputs: bool = True) -> None:
        super().__init__(forward_func)
        self.multiplies_by_inputs = multiply_by_inputs

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: None = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """[B, T, D], or (that, delta [B]): by how much the sums miss the change of the target.

        `baselines`: a number, or embeddings [B or 1, T, D]; None: 0. `internal_batch_size`: rows of
        one pass, of all examples and steps.
        """
        refuse({"additional_forward_args": additional_forward_args}, "IntegratedGradients.attribute")
        ids, values = self._read(inputs)
        start = self._baseline(ids, values, baselines)
        found = self._path(ids, values, start, target, n_steps, method, internal_batch_size)
        return (to_tensor(found[0]), to_tensor(found[1])) if return_convergence_delta else to_tensor(found[0])

    def has_convergence_delta(self) -> bool:
        return True

    def _baseline(self, ids: Ids, values: Floats, baselines: Any) -> Floats:
        if baselines is None or isinstance(baselines, (int, float)):
            return np.full_like(values, baselines or 0.0)
        start = to_floats(baselines, "baselines")
        if start.shape[1:] != values.shape[1:] or start.shape[0] not in (1, len(values)):
            raise Error(f"invalid baselines of shape {list(start.shape)}: expected {list(values.shape)}")
        return np.broadcast_to(start, values.shape)

    def _path(
        self,
        ids: Ids,
        end: Floats,
        start: Floats,
        target: Any,
        n_steps: int,
        method: str,
        rows: int | None,
    ) -> tuple[Floats, npt.NDArray[np.float64]]:
        targets = _targets(target, len(ids))
        model, site = self.forward_func.model, self.site or "hook_embed"
        aims = self.forward_func.targets(targets)
        total = np.stack(
            [
                mean_gradient(model, ids[n], site, (start[n], end[n]), aims[n], n_steps, method, rows)
                for n in range(len(ids))
            ]
        )
        product = total * (end - start)
        change = self._slopes(ids, end, targets, rows)[0] - self._slopes(ids, start, targets, rows)[0]
        delta = product.reshape(len(ids), -1).sum(1) - change
        return (product if self.multiplies_by_inputs else total).astype(np.float32), delta


class LayerIntegratedGradients(IntegratedGradients):
    """Integrated gradients at a site, by its name, between its values for two rows of token ids.

    attribute() reads inputs and baselines as token ids [B, T]; a baseline of None is token 0.
    """

    def __init__(
        self,
        forward_func: Model | Forward,
        layer: str,
        device_ids: None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        refuse({"device_ids": device_ids}, "LayerIntegratedGradients", "Model.load(device=) has it")
        super().__init__(forward_func, multiply_by_inputs)
        self.site = layer

    def _baseline(self, ids: Ids, values: Floats, baselines: Any) -> Floats:
        if baselines is None or isinstance(baselines, (int, np.integer)):
            baselines = np.full_like(ids, baselines or 0)
        start_ids = to_ids(baselines, "baselines")
        if start_ids.shape[1:] != ids.shape[1:] or start_ids.shape[0] not in (1, len(ids)):
            raise Error(f"invalid baselines of shape {list(start_ids.shape)}: expected {list(ids.shape)}")
        return self._read(np.broadcast_to(start_ids, ids.shape))[1]


class TextTokenInput:
    """A text whose tokens are attributed to. `baselines`: the token in the place of an absent one;
    `skip_tokens`: tokens that are neither replaced nor listed."""

    def __init__(
        self,
        text: str,
        tokenizer: Any,
        baselines: int | str = 0,
        skip_tokens: Sequence[int | str] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.ids = np.array(encode(tokenizer, text), np.int64)
        if not len(self.ids):
            raise Error("invalid text: it has no tokens")
        skipped = [self._token(token) for token in skip_tokens or []]
        self.kept = ~np.isin(self.ids, skipped)
        self.baselines = self._token(baselines)
        self.values = token_texts(tokenizer, self.ids[self.kept].tolist())

    def _token(self, token: int | str) -> int:
        if not isinstance(token, str):
            return int(token)
        ids = encode(self.tokenizer, token)
        if len(ids) != 1:
            raise Error(f"invalid token {token!r}: it is {len(ids)} tokens, expected 1")
        return ids[0]


class LLMAttributionResult:
    """Attributions of the tokens of an answer to those of a prompt; a notebook shows the table."""

    def __init__(self, *, input_tokens: list[str], output_tokens: list[str], token_attr: Floats) -> None:
        self.input_tokens, self.output_tokens = input_tokens, output_tokens
        self.token_attr = to_tensor(token_attr)
        """[output tokens, input tokens]"""
        self.seq_attr = to_tensor(token_attr.sum(0))
        """[input tokens]: of the whole answer"""

    @property
    def seq_attr_dict(self) -> dict[str, float]:
        return dict(zip(self.input_tokens, self.seq_attr.tolist()))

    def page(self) -> Page:
        """The table as a page, with save_html()."""
        return Page("Attribution", grid(self.output_tokens, self.input_tokens, to_numpy(self.token_attr)))

    def _repr_html_(self) -> str:
        return self.page()._repr_html_()


class LLMGradientAttribution:
    """Attributions of the log-probability of each token of an answer to the tokens of a prompt."""

    def __init__(self, attr_method: Any, tokenizer: Any) -> None:
        """`attr_method`: a LayerIntegratedGradients or LayerGradientXActivation of this module."""
        if not isinstance(attr_method, (LayerIntegratedGradients, LayerGradientXActivation)):
            name = type(attr_method).__name__
            raise Error(f"invalid method {name}: expected LayerIntegratedGradients or LayerGradientXActivation")
        self.attr_method = copy(attr_method)
        self.model = attr_method.forward_func.model
        self.attr_method.forward_func = Forward(self.model, "log_prob")
        self.tokenizer = tokenizer

    def attribute(
        self,
        inp: TextTokenInput,
        target: Any = None,
        gen_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> LLMAttributionResult:
        """`target`: the answer, a text or token ids; None generates it with `gen_args`, by default 25
        tokens, greedily. `kwargs` are those of the method's attribute()."""
        if not isinstance(inp, TextTokenInput):
            raise Error(f"invalid input {type(inp).__name__}: expected a vitrine.captum.TextTokenInput")
        refuse(
            {name: kwargs.pop(name, None) for name in ("baselines", "target", "return_convergence_delta")},
            "LLMGradientAttribution.attribute",
            "TextTokenInput has the baseline",
        )
        answer = self._answer(inp, target, gen_args)
        rows = []
        for k, token in enumerate(answer):
            ids = np.concatenate([inp.ids, answer[:k]])[None]
            more: dict[str, Any] = {}
            if isinstance(self.attr_method, LayerIntegratedGradients):
                absent = np.where(inp.kept, inp.baselines, inp.ids)
                more["baselines"] = np.concatenate([absent, answer[:k]])[None]
            found = to_numpy(self.attr_method.attribute(ids, target=int(token), **more, **kwargs))
            rows.append(found[0].reshape(ids.shape[1], -1).sum(1)[: len(inp.ids)][inp.kept])
        output = token_texts(self.tokenizer, answer.tolist())
        return LLMAttributionResult(input_tokens=inp.values, output_tokens=output, token_attr=np.stack(rows))

    def _answer(self, inp: TextTokenInput, target: Any, gen_args: dict[str, Any] | None) -> Ids:
        if target is None:
            given = {"max_new_tokens": 25} | (gen_args or {})
            unknown = set(given) - {
                "max_new_tokens",
                "do_sample",
                "temperature",
                "top_p",
                "top_k",
                "seed",
            }
            if unknown:
                raise Error(f"unknown option {min(unknown)} of gen_args: generate with Model.generate, pass target")
            options = {k: v for k, v in given.items() if k != "do_sample" and v is not None}
            if given.get("do_sample"):
                options.setdefault("temperature", 1.0)
            return np.array(self.model.generate(inp.ids, **options).ids, np.int64)
        if gen_args is not None:
            raise Error("unknown option gen_args: a target is given, so nothing is generated")
        ids = np.array(encode(self.tokenizer, target)) if isinstance(target, str) else to_ids(target, "target")
        if not ids.size:
            raise Error("invalid target: it has no tokens")
        return ids.reshape(-1)
