# SPDX-License-Identifier: MIT
"""inseq's interface to the engine's gradients: attributions of each generated token to what precedes it.

    import vitrine.inseq

    lm = vitrine.inseq.load_model("demo", "integrated_gradients")
    out = lm.attribute("The keys to the cabinet", "The keys to the cabinet are", step_scores=["probability"])
    out.show()
    out[0].aggregate().target_attributions        # [T, n]: a column for each attributed token

Results are torch's tensors where it is installed, otherwise arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Model, Target
from vitrine.error import Error
from vitrine.integration import mean_gradient
from vitrine.pages import Page, grid, token_line
from vitrine.tensors import refuse, to_numpy, to_tensor
from vitrine.types import Path

METHODS = ("integrated_gradients", "input_x_gradient", "saliency")
_ELSEWHERE = {
    "occlusion": "vitrine.saliency(method='occlusion') has it",
    "attention": "vitrine.attention and vitrine.attention_rollout have it",
    "layer_integrated_gradients": "vitrine.captum.LayerIntegratedGradients has it",
    "layer_gradient_x_activation": "vitrine.captum.LayerGradientXActivation has it",
}
# What is attributed: (token, contrast) to a target at the last position.
_FUNCTIONS: dict[str, Callable[[int, int], Target]] = {
    "logit": lambda token, _: Target.logit(token),
    "probability": lambda token, _: Target.prob(token),
    "entropy": lambda _, __: Target.entropy(),
    "crossentropy": lambda token, _: -Target.log_prob(token),
    "contrast_logits_diff": lambda token, contrast: Target.logit_difference(token, contrast),
    "contrast_prob_diff": lambda token, contrast: Target.prob(token) - Target.prob(contrast),
}
STEP_SCORES = ("logit", "probability", "entropy", "crossentropy", "perplexity")
_AGGREGATIONS: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "vnorm": lambda a: np.linalg.norm(a, axis=-1),
    "sum": lambda a: a.sum(-1),
    "mean": lambda a: a.mean(-1),
    "max": lambda a: a.max(-1),
    "min": lambda a: a.min(-1),
    "prod": lambda a: a.prod(-1),
    "absmax": lambda a: np.take_along_axis(a, np.nan_to_num(np.abs(a)).argmax(-1)[..., None], -1)[..., 0],
}


class TokenWithId(NamedTuple):
    token: str
    id: int


@dataclass(frozen=True)
class FeatureAttributionSequenceOutput:
    """Attributions of one text; T tokens, n of them attributed, D the width."""

    source: list[TokenWithId]
    """The prompt's tokens."""
    target: list[TokenWithId]
    """All tokens, [T]."""
    target_attributions: Any
    """[T, n, D], or [T, n] after aggregate(); NaN from the attributed token on."""
    step_scores: dict[str, Any]
    """A score [n] of each attributed token by name."""
    attr_pos_start: int
    attr_pos_end: int
    source_attributions: None = None
    """Of encoders only."""

    def aggregate(
        self, aggregator: str | None = None, *, normalize: bool = True, rescale: bool = False
    ) -> FeatureAttributionSequenceOutput:
        """Scores [T, n]: vectors become numbers ("vnorm" by default; sum, mean, max, min, prod, absmax),
        of which each column has absolute values that sum to 1, or with `rescale` all the maximum 1."""
        values = to_numpy(self.target_attributions)
        if values.ndim == 2:
            raise Error("the attributions are aggregated already: [T, n]")
        name = aggregator or "vnorm"
        if name not in _AGGREGATIONS:
            known = ", ".join(_AGGREGATIONS)
            raise Error(f"unknown aggregator {name!r}: expected one of {known}")
        scores = _AGGREGATIONS[name](values)
        if rescale:
            scores = scores / np.nanmax(np.abs(scores))
        elif normalize:
            scores = scores / np.maximum(np.nansum(np.abs(scores), 0), 1e-12)
        return replace(self, target_attributions=to_tensor(scores))

    def get_scores_dicts(self, aggregator: str | None = None, do_aggregation: bool = True) -> dict[str, Any]:
        """Nested dictionaries by (position, token)."""
        shown = self.aggregate(aggregator) if do_aggregation else self
        values = to_numpy(shown.target_attributions)
        found: dict[str, Any] = {
            "source_attributions": {},
            "target_attributions": {},
            "step_scores": {},
        }
        for k, position in enumerate(range(self.attr_pos_start, self.attr_pos_end)):
            key = (position, self.target[position].token)
            rows = range(self.attr_pos_end)
            found["target_attributions"][key] = {(t, self.target[t].token): float(values[t, k]) for t in rows}
            found["step_scores"][key] = {name: float(score[k]) for name, score in self.step_scores.items()}
        return found

    def page(self, aggregator: str | None = None) -> Page:
        """A table with a column for each attributed token, as a page."""
        shown = self if to_numpy(self.target_attributions).ndim == 2 else self.aggregate(aggregator)
        values = to_numpy(shown.target_attributions)
        columns = [token.token for token in self.target[self.attr_pos_start : self.attr_pos_end]]
        cells = [[f"{x:.3g}" if np.isfinite(x) else "" for x in row] for row in values]
        rows = [token.token for token in self.target]
        body = grid(rows, columns, np.nan_to_num(values), cells)
        if self.step_scores:
            scores = np.stack([to_numpy(score) for score in self.step_scores.values()])
            body += grid(list(self.step_scores), columns, scores)
        body += "<p>Mean over the attributed tokens:</p>"
        counts = np.maximum(np.isfinite(values).sum(1), 1)
        body += token_line(rows, np.nansum(values, 1) / counts)
        return Page("Attributions", body)

    def show(self, *, aggregator: str | None = None, display: bool = True, return_html: bool = False) -> str | None:
        """Shows the page in a notebook, otherwise prints the table. `return_html`: returns the page."""
        page = self.page(aggregator)
        if display and not _shown_by_notebook(page):
            print(self._text(aggregator))
        return page.html() if return_html else None

    def _text(self, aggregator: str | None) -> str:
        shown = self if to_numpy(self.target_attributions).ndim == 2 else self.aggregate(aggregator)
        columns = [repr(token.token) for token in self.target[self.attr_pos_start : self.attr_pos_end]]
        width = max(8, *map(len, columns))
        lines = ["".join([" " * 20, *(f" {column:>{width}}" for column in columns)])]
        rows = [(repr(token.token), row) for token, row in zip(self.target, to_numpy(shown.target_attributions))]
        rows += [(name, to_numpy(score)) for name, score in self.step_scores.items()]
        for name, row in rows:
            cells = (format(value, ".4f") if np.isfinite(value) else "" for value in row)
            lines.append("".join([f"{name:20.20}", *(f" {cell:>{width}}" for cell in cells)]))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.page()._repr_html_()


@dataclass(frozen=True)
class FeatureAttributionOutput:
    """Attributions of several texts: a sequence of FeatureAttributionSequenceOutput."""

    sequence_attributions: list[FeatureAttributionSequenceOutput]
    info: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, index: int) -> FeatureAttributionSequenceOutput:
        return self.sequence_attributions[index]

    def __len__(self) -> int:
        return len(self.sequence_attributions)

    def __iter__(self) -> Iterator[FeatureAttributionSequenceOutput]:
        return iter(self.sequence_attributions)

    def aggregate(
        self, aggregator: str | None = None, *, normalize: bool = True, rescale: bool = False
    ) -> FeatureAttributionOutput:
        """aggregate() of each."""
        found = [one.aggregate(aggregator, normalize=normalize, rescale=rescale) for one in self]
        return FeatureAttributionOutput(found, self.info)

    def get_scores_dicts(self, aggregator: str | None = None, do_aggregation: bool = True) -> list[dict[str, Any]]:
        return [one.get_scores_dicts(aggregator, do_aggregation) for one in self]

    def show(self, *, aggregator: str | None = None, display: bool = True, return_html: bool = False) -> str | None:
        """show() of each."""
        pages = [one.show(aggregator=aggregator, display=display, return_html=return_html) for one in self]
        return "".join(page or "" for page in pages) if return_html else None

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in self)


class AttributionModel:
    """A model with an attribution method, from load_model()."""

    def __init__(self, model: Model, attribution_method: str | None = None) -> None:
        self.model = model
        self.method = None if attribution_method is None else _method(attribution_method)

    def attribute(
        self,
        input_texts: str | Sequence[str],
        generated_texts: str | Sequence[str] | None = None,
        method: str | None = None,
        *,
        attr_pos_start: int | None = None,
        attr_pos_end: int | None = None,
        step_scores: Sequence[str] = (),
        attributed_fn: str = "probability",
        contrast_targets: str | Sequence[str] | None = None,
        n_steps: int | None = None,
        baseline: int | str | None = None,
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        generation_args: dict[str, Any] | None = None,
        **unknown: Any,
    ) -> FeatureAttributionOutput:
        """Attributes the tokens of `generated_texts` after each prompt to all tokens before them.

        `generated_texts` begin with their prompts; None generates them by Model.generate with
        `generation_args`. `attr_pos_start`, `attr_pos_end`: tokens that are attributed. `attributed_fn`:
        what is attributed, `step_scores`: what is computed beside it. `contrast_targets`: texts with as
        many tokens as the generated ones, of contrast_logits_diff and contrast_prob_diff. Of integrated
        gradients: `n_steps` (50), `baseline` (the end-of-text token), `internal_batch_size`, and
        `return_convergence_delta`, which adds the step score "deltas".
        """
        refuse(
            unknown,
            "attribute",
            f"known are {', '.join(STEP_SCORES)} as step scores, and "
            "the options in its help; Model.gradients and vitrine.saliency have more",
        )
        chosen = _method(method) if method is not None else self.method
        if chosen is None:
            raise Error(f"missing attribution method: expected one of {', '.join(METHODS)}")
        _check(attributed_fn, step_scores, contrast_targets)
        given = {
            "n_steps": n_steps,
            "baseline": baseline,
            "internal_batch_size": internal_batch_size,
        }
        if chosen != "integrated_gradients":
            refuse(given | {"return_convergence_delta": return_convergence_delta or None}, chosen)
        texts = self._texts(input_texts, generated_texts, generation_args)
        contrasts = [contrast_targets] if isinstance(contrast_targets, str) else contrast_targets or []
        if contrasts and len(contrasts) != len(texts):
            raise Error(f"invalid contrast_targets: {len(contrasts)} for {len(texts)} texts")
        found = []
        for i, (length, ids) in enumerate(texts):
            job = _Job(
                self.model,
                chosen,
                ids,
                attributed_fn,
                ids,
                50 if n_steps is None else n_steps,
                baseline,
                internal_batch_size,
            )
            if contrasts:
                job = replace(job, contrast=self._contrast(contrasts[i], ids))
            start, end = _range(attr_pos_start, attr_pos_end, length, len(ids))
            found.append(self._one(job, length, start, end, step_scores, return_convergence_delta))
        return FeatureAttributionOutput(found, {"attribution_method": chosen, "attributed_fn": attributed_fn})

    def _texts(
        self,
        prompts: str | Sequence[str],
        generated: str | Sequence[str] | None,
        options: dict[str, Any] | None,
    ) -> list[tuple[int, list[int]]]:
        """Number of the prompt's tokens, and all tokens, of each text."""
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        starts = [self.model.encode(prompt) for prompt in prompts]
        if generated is None:
            made = [self.model.generate(start, **(options or {})).ids for start in starts]
            return [(len(start), start + more) for start, more in zip(starts, made)]
        if options:
            raise Error("unknown option generation_args: generated_texts are given, so nothing is generated")
        whole = [generated] if isinstance(generated, str) else list(generated)
        if len(whole) != len(prompts):
            raise Error(f"invalid generated_texts: {len(whole)} for {len(prompts)} input_texts")
        for prompt, text in zip(prompts, whole):
            if not text.startswith(prompt):
                raise Error(f"invalid generated text {text[:40]!r}: it must begin with its input {prompt[:40]!r}")
        return [(len(start), self.model.encode(text)) for start, text in zip(starts, whole)]

    def _contrast(self, text: str, ids: list[int]) -> list[int]:
        contrast = self.model.encode(text)
        if len(contrast) != len(ids):
            raise Error(f"invalid contrast target {text[:40]!r}: {len(contrast)} tokens, expected {len(ids)}")
        return contrast

    def _one(
        self, job: _Job, length: int, start: int, end: int, scores: Sequence[str], with_delta: bool
    ) -> FeatureAttributionSequenceOutput:
        columns = [job.column(position) for position in range(start, end)]
        values = np.full((len(job.ids), end - start, self.model.config.width), np.nan, np.float32)
        for k, (attributed, _) in enumerate(columns):
            values[: len(attributed), k] = attributed
        found = _step_scores(self.model, job.ids, start, end)
        steps = {name: to_tensor(found[name].astype(np.float32)) for name in scores}
        if with_delta:
            steps["deltas"] = to_tensor(np.array([delta for _, delta in columns], np.float32))
        tokens = [self._token(token, other) for token, other in zip(job.ids, job.contrast)]
        return FeatureAttributionSequenceOutput(tokens[:length], tokens, to_tensor(values), steps, start, end)

    def _token(self, token: int, contrast: int) -> TokenWithId:
        """As inseq has it: one that differs from its contrast shows both and has no id."""
        text = self.model.tokenizer.token(token)
        if token == contrast:
            return TokenWithId(text, token)
        return TokenWithId(f"{self.model.tokenizer.token(contrast)} \u2192 {text}", -1)


@dataclass(frozen=True)
class _Job:
    """What attributes one token of a text."""

    model: Model
    method: str
    ids: list[int]
    function: str
    contrast: list[int]
    n_steps: int
    baseline: int | str | None
    rows: int | None

    def column(self, position: int) -> tuple[npt.NDArray[np.float64], float]:
        """Attributions [position, D] to the tokens before it, and by how much their sum misses."""
        ids = np.array(self.ids[:position])
        aim = _FUNCTIONS[self.function](self.ids[position], self.contrast[position])
        end = self.model.embed(ids)
        if self.method != "integrated_gradients":
            gradient = self.model.gradients(ids, aim, wrt="hook_embed")["hook_embed"].astype(np.float64)
            return (np.abs(gradient) if self.method == "saliency" else gradient * end), 0.0
        token = self.model.tokenizer.end_of_text if self.baseline is None else self.baseline
        if token is None:
            raise Error("missing baseline: the tokenizer has no end-of-text token; give a token")
        absent = token if isinstance(token, int) else self.model.tokenizer.single_token(token)
        other = np.full_like(ids, absent)
        ends = (self.model.embed(other), end)
        mean = mean_gradient(self.model, ids, "hook_embed", ends, aim, self.n_steps, "gausslegendre", self.rows)
        product = mean * (end - ends[0])
        high, low = (self.model.gradients(row, aim, wrt="hook_embed").value for row in (ids, other))
        return product, float(product.sum() - (high - low))


def _step_scores(model: Model, ids: list[int], start: int, end: int) -> dict[str, npt.NDArray[np.float64]]:
    logits = model.run(ids[: end - 1]).logits[start - 1 :].astype(np.float64)
    top = logits.max(1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    rows, tokens = np.arange(end - start), ids[start:end]
    loss = -log_p[rows, tokens]
    entropy = -(np.exp(log_p) * log_p).sum(1)
    return {
        "logit": logits[rows, tokens],
        "probability": np.exp(-loss),
        "entropy": entropy,
        "crossentropy": loss,
        "perplexity": 2**loss,
    }


def _range(start: int | None, end: int | None, prompt: int, length: int) -> tuple[int, int]:
    first = max(prompt, 1) if start is None else start + (length if start < 0 else 0)
    last = length if end is None else end + (length if end < 0 else 0)
    if not prompt <= first < last <= length or first < 1:
        raise Error(f"invalid tokens {first} to {last}: expected some of {max(prompt, 1)} to {length}")
    return first, last


def _check(function: str, scores: Sequence[str], contrast: object) -> None:
    if function not in _FUNCTIONS:
        raise Error(f"unknown attributed_fn {function!r}: expected one of {', '.join(_FUNCTIONS)}")
    unknown = [name for name in scores if name not in STEP_SCORES]
    if unknown:
        raise Error(f"unknown step score {unknown[0]!r}: expected some of {', '.join(STEP_SCORES)}")
    if function.startswith("contrast") != (contrast is not None):
        raise Error(
            f"contrast_targets belong to contrast_logits_diff and contrast_prob_diff, not {function}"
            if contrast is not None
            else f"missing contrast_targets of {function}"
        )


def _method(name: str) -> str:
    if name not in METHODS:
        where = _ELSEWHERE.get(name, f"expected one of {', '.join(METHODS)}")
        raise Error(f"unknown attribution method {name!r}: {where}")
    return name


def _shown_by_notebook(page: Page) -> bool:
    python = sys.modules.get("IPython")
    if python is None or type(python.get_ipython()).__name__ != "ZMQInteractiveShell":
        return False
    python.display.display(page)
    return True


def load_model(model: Path | Model, attribution_method: str | None = None, **options: Any) -> AttributionModel:
    """A model by name, with an attribution method. `options` are those of Model.load."""
    if isinstance(model, Model):
        if options:
            raise Error(f"unknown option {min(options)} of load_model: the model is loaded already")
        return AttributionModel(model, attribution_method)
    return AttributionModel(Model.load(model, **options), attribution_method)
