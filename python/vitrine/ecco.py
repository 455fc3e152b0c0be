# SPDX-License-Identifier: MIT
"""Ecco's interface: a generation with attributions, rankings by layer, and factors of its neurons.

    import vitrine.ecco

    lm = vitrine.ecco.from_pretrained("demo", activations=True)
    output = lm.generate("The keys to the cabinet", generate=4)
    output.primary_attributions()             # Ecco's Grad x Input
    output.rankings(), output.rankings_watch(watch=[" is", " are"])
    output.run_nmf(n_components=3).explore()

What Ecco draws is a page here, and what it prints with printJson is the page's `data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Model, Result, Target, factors
from vitrine.error import Error
from vitrine.integration import mean_gradient
from vitrine.pages import Page, grid, token_line
from vitrine.tensors import refuse, to_ids, to_tensor
from vitrine.types import Path, Tokens

_METHODS = {
    "grad_x_input": "grad_x_input",
    "ig": "ig",
    "integrated_gradients": "ig",
    "saliency": "saliency",
    "gradient": "saliency",
}
_LAYERS = "blocks.*.hook_resid_post"


class View(Page):
    """A page, and the numbers it shows."""

    def __init__(self, title: str, body: str, data: Any) -> None:
        super().__init__(title, body)
        self.data = data


def from_pretrained(
    hf_model_id: Path,
    activations: bool = False,
    activations_layer_nums: Sequence[int] | None = None,
    *,
    model_config: None = None,
    attention: None = None,
    hidden_states: None = None,
    gpu: None = None,
    verbose: None = None,
    **options: Any,
) -> LM:
    """A model by name. `activations`: whether run_nmf() is wanted, of the layers `activations_layer_nums`.

    `options` are those of Model.load.
    """
    refuse({"model_config": model_config}, "from_pretrained", "config.json says what is needed")
    refuse({"attention": attention}, "from_pretrained", "vitrine.attention(model, text) has the maps")
    refuse(
        {"hidden_states": hidden_states},
        "from_pretrained",
        "they are computed where they are needed",
    )
    refuse({"gpu": gpu}, "from_pretrained", "device='cuda' has it")
    refuse({"verbose": verbose}, "from_pretrained", "print(output.output_text), or vitrine.stream")
    return LM(Model.load(hf_model_id, **options), activations, activations_layer_nums)


class LM:
    """A model with Ecco's generate()."""

    def __init__(self, model: Model, activations: bool = False, layer_nums: Sequence[int] | None = None) -> None:
        if layer_nums is not None and not activations:
            raise Error("unknown option activations_layer_nums: activations is False")
        self.model = model
        self.tokenizer = model.tokenizer
        every = range(model.config.layers)
        self.layers = sorted(set(every if layer_nums is None else layer_nums)) if activations else []
        if not set(self.layers) <= set(every):
            raise Error(f"invalid activations_layer_nums {list(layer_nums or [])}: expected 0 to {len(every) - 1}")

    def generate(
        self,
        input_str: str,
        max_length: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        do_sample: bool = False,
        attribution: Sequence[str] = (),
        generate: int | None = None,
        beam_size: int = 1,
        **options: Any,
    ) -> OutputSeq:
        """Continues a text by `generate` tokens, or up to `max_length` (8) tokens with the prompt's.

        `do_sample` samples with `temperature` (1), `top_k` (50) and `top_p` (1). `attribution`: methods
        computed at once; others are when they are used. `options` are those of Model.generate, or of
        Model.beam_search with `beam_size` over 1.
        """
        prompt = self.model.encode(input_str)
        if generate is not None and max_length is not None:
            raise Error("unknown option max_length: generate is given")
        longest = 8 if max_length is None else max_length
        count = longest - len(prompt) if generate is None else generate
        if count < 1:
            given = f"max_length {longest}: the prompt has {len(prompt)} tokens already"
            raise Error(
                f"invalid generate {generate}: expected at least 1" if generate is not None else f"invalid {given}"
            )
        if do_sample:
            options |= {"temperature": 1.0 if temperature is None else temperature}
            options |= {
                "top_k": 50 if top_k is None else top_k,
                "top_p": 1.0 if top_p is None else top_p,
            }
        else:
            refuse(
                {"temperature": temperature, "top_k": top_k, "top_p": top_p},
                "generate",
                "set do_sample",
            )
        if beam_size > 1:
            refuse({"do_sample": do_sample or None}, "generate", "beam_size is given")
            new = self.model.beam_search(prompt, count, beam_size, **options)[0].ids
        else:
            new = self.model.generate(prompt, count, **options).ids
        output = OutputSeq(self.model, prompt + new, len(prompt), self.layers)
        for method in attribution:
            output.attributions_of(method)
        return output

    def __call__(self, input_tokens: Mapping[str, Any]) -> OutputSeq:
        """A pass without generation, for run_nmf(). `input_tokens`: {"input_ids": [1, T]}."""
        if "input_ids" not in input_tokens:
            raise Error("missing input_ids: expected a mapping with token ids [1, T]")
        ids = to_ids(input_tokens["input_ids"], "input_ids")
        if ids.ndim != 2 or len(ids) != 1:
            raise Error(f"invalid input_ids of shape {list(ids.shape)}: expected [1, T]; call it for each text")
        return OutputSeq(self.model, ids[0].tolist(), ids.shape[1], self.layers)


class OutputSeq:
    """A text of T tokens, of which those from `n_input_tokens` on were generated."""

    def __init__(self, model: Model, ids: list[int], n_input_tokens: int, layers: Sequence[int]) -> None:
        self.model = model
        self.ids = ids
        self.n_input_tokens = n_input_tokens
        self.token_ids = to_tensor(np.array([ids]))
        """[1, T]"""
        self.tokens = [[model.tokenizer.token(token) for token in ids]]
        """[1][T]"""
        self.output_text = model.tokenizer.decode(ids)
        self.attribution: dict[str, list[npt.NDArray[np.float64]]] = {}
        """By method, a row for each generated token: the share of each token before it."""
        self._layers = list(layers)

    def __str__(self) -> str:
        return f"<LMOutput {self.output_text!r} # of lm outputs: {len(self.ids) - self.n_input_tokens}>"

    def attributions_of(self, attr_method: str) -> list[npt.NDArray[np.float64]]:
        """Ecco's formula: the length of each token's attribution to the probability of the generated
        token, divided by their sum."""
        if attr_method not in _METHODS:
            known = ", ".join(_METHODS)
            raise Error(f"unknown attr_method {attr_method!r}: expected one of {known}; vitrine.saliency has more")
        if attr_method not in self.attribution:
            rows = [self._attribute(_METHODS[attr_method], end) for end in self._steps()]
            self.attribution[attr_method] = rows
        return self.attribution[attr_method]

    def _attribute(self, method: str, end: int) -> npt.NDArray[np.float64]:
        ids, aim = np.array(self.ids[:end]), Target.prob(self.ids[end])
        values = self.model.embed(ids)
        if method == "ig":
            ends = (np.zeros_like(values), values)
            mean = mean_gradient(self.model, ids, "hook_embed", ends, aim, 50, "gausslegendre", None)
            vectors = mean * values
        else:
            gradient = self.model.gradients(ids, aim, wrt="hook_embed")["hook_embed"].astype(np.float64)
            vectors = gradient * values if method == "grad_x_input" else gradient
        lengths = np.linalg.norm(vectors, axis=1)
        shares: npt.NDArray[np.float64] = lengths / lengths.sum()
        return shares

    def _steps(self) -> range:
        steps = range(self.n_input_tokens, len(self.ids))
        if not steps:
            raise Error("the text has no generated tokens: use LM.generate")
        return steps

    def _step(self, position: int | None) -> int:
        steps = self._steps()
        if position is None:
            return steps[0]
        if position not in steps:
            raise Error(f"invalid position {position}: expected a generated token, {steps[0]} to {steps[-1]}")
        return position

    def primary_attributions(
        self,
        attr_method: str = "grad_x_input",
        style: str = "detailed",
        ignore_tokens: Sequence[int] = (),
    ) -> View:
        """A row for each generated token with the share of each token before it. `style`: "minimal" shows
        backgrounds alone. `ignore_tokens`: positions that are shown as 0."""
        if style not in ("minimal", "detailed"):
            raise Error(f"unknown style {style!r}: expected minimal or detailed")
        rows = np.zeros((len(self._steps()), len(self.ids) - 1))
        for i, row in enumerate(self.attributions_of(attr_method)):
            rows[i, : len(row)] = row
        rows[:, list(ignore_tokens)] = 0
        tokens = self.tokens[0]
        shown = [["" if style == "minimal" or not x else f"{100 * x:.1f}%" for x in row] for row in rows]
        body = grid(tokens[self.n_input_tokens :], tokens[:-1], rows, shown)
        lengths = [len(row) for row in self.attributions_of(attr_method)]
        data = {
            "tokens": self._described(),
            "attributions": [r[:n].tolist() for r, n in zip(rows, lengths)],
        }
        return View(f"Attributions: {attr_method}", body, data)

    __call__ = primary_attributions

    def position(self, position: int, attr_method: str = "grad_x_input") -> View:
        """The shares of one generated token."""
        row = self.attributions_of(attr_method)[self._step(position) - self.n_input_tokens]
        body = token_line(self.tokens[0][: len(row)], row)
        return View(f"What {self.tokens[0][position]!r} is attributed to", body, row.tolist())

    def _described(self) -> list[dict[str, Any]]:
        kinds = ("input", "output")
        return [
            {
                "token": token,
                "token_id": self.ids[i],
                "position": i,
                "type": kinds[i >= self.n_input_tokens],
            }
            for i, token in enumerate(self.tokens[0])
        ]

    def _unembedded(self, positions: Sequence[int], **asked: Any) -> list[dict[str, npt.NDArray[Any]]]:
        """Model.unembed of each layer's rows at positions: without the final layernorm but in the last."""
        run = self.model.run(self.ids[:-1], capture=_LAYERS, logits="none")
        last = self.model.config.layers - 1
        return [
            self.model.unembed(
                run[_LAYERS.replace("*", str(layer))][list(positions)],
                final_layernorm=layer == last,
                **asked,
            )
            for layer in range(last + 1)
        ]

    def layer_predictions(self, position: int | None = None, topk: int = 10, layer: int | None = None) -> View:
        """The `topk` tokens that each layer predicts at a generated token's position, by default the
        first one's."""
        step = self._step(position)
        found = self._unembedded([step - 1], top_k=topk)
        layers = range(len(found))
        if layer is not None and layer not in layers:
            raise Error(f"invalid layer {layer}: expected 0 to {len(found) - 1}")
        data: list[list[dict[str, Any]]] = []
        for n in layers if layer is None else [layer]:
            logits = found[n]["top_logits"][0].astype(np.float64)
            probs = np.exp(logits - found[n]["log_sum_exp"][0])
            texts = [self.model.tokenizer.token(int(token)) for token in found[n]["top_ids"][0]]
            data.append(
                [
                    {"token": text, "prob": float(prob), "ranking": rank + 1, "layer": n}
                    for rank, (text, prob) in enumerate(zip(texts, probs))
                ]
            )
        rows = [f"layer {row[0]['layer']}" for row in data]
        columns = [str(rank + 1) for rank in range(topk)]
        cells = [[f"{cell['token']} {100 * cell['prob']:.1f}%" for cell in row] for row in data]
        body = grid(rows, columns, [[cell["prob"] for cell in row] for row in data], cells)
        return View(f"Predictions of {self.tokens[0][step]!r} by layer", body, data)

    def rankings(self) -> View:
        """The rank of each generated token in each layer, [L, n]."""
        steps = self._steps()
        found = self._unembedded([step - 1 for step in steps], targets=self.ids[steps[0] :])
        ranks = np.stack([one["target_ranks"] for one in found]).astype(np.int32)
        given = self.tokens[0][steps[0] - 1 : -1]
        new = self.tokens[0][steps[0] :]
        data = {"input_tokens": given, "output_tokens": new, "rankings": ranks}
        return View("Ranks of the generated tokens", self._ranks(ranks, new), data)

    def rankings_watch(self, watch: Tokens, position: int = -1) -> View:
        """The ranks of tokens, by id or text, in each layer at a generated token's position: [L, W]."""
        step = self._steps()[-1] if position == -1 else self._step(position)
        found = self._unembedded([step - 1], watch=watch)
        ranks = np.stack([one["watch_ranks"][0] for one in found]).astype(np.int32)
        given = [watch] if isinstance(watch, (str, int)) else list(watch)
        texts = [token if isinstance(token, str) else self.model.tokenizer.token(int(token)) for token in given]
        data = {"input_tokens": self.tokens[0], "output_tokens": texts, "rankings": ranks}
        return View(f"Ranks at position {step}", self._ranks(ranks, texts), data)

    def _ranks(self, ranks: npt.NDArray[Any], columns: Sequence[str]) -> str:
        rows = [f"layer {layer}" for layer in range(len(ranks))]
        return grid(rows, columns, 1 / ranks, [[f"{rank}" for rank in row] for row in ranks])

    @property
    def activations(self) -> npt.NDArray[np.float32]:
        """[1, layers, neurons, T - 1], T for a text without generated tokens: after the GELU."""
        run = self.model.run(self._read(), capture=[f"blocks.{n}.mlp.hook_post" for n in self._collected()])
        return np.stack([run[f"blocks.{n}.mlp.hook_post"].T for n in self._layers])[None]

    def _read(self) -> list[int]:
        return self.ids if len(self.ids) == self.n_input_tokens else self.ids[:-1]

    def _collected(self) -> list[int]:
        if not self._layers:
            raise Error("no activations: pass activations=True to from_pretrained")
        return self._layers

    def attention(self, **_: Any) -> None:
        raise Error("attention() is not here: vitrine.attention(model, text) has the maps")

    def run_nmf(self, n_components: int = 10, from_layer: int | None = None, to_layer: int | None = None) -> NMF:
        """Factors of the neurons of layers `from_layer` to `to_layer` - 1."""
        known = self._collected()
        first = 0 if from_layer is None else from_layer
        end = self.model.config.layers if to_layer is None else to_layer
        layers = known if from_layer is None and to_layer is None else list(range(first, end))
        if not layers or not set(layers) <= set(known):
            raise Error(f"invalid layers {first} to {end}: expected some of {known}")
        read = self._read()
        count = min(n_components, len(read))
        result = factors(self.model, [read], components=count, layers=layers, seed=0)
        return NMF(self, result)

    def _repr_html_(self) -> str:
        return Page("Output", token_line(self.tokens[0], [0.0] * len(self.ids)))._repr_html_()


class NMF:
    """Groups of neurons that are active together; `result` is the native one, with its own page."""

    def __init__(self, output: OutputSeq, result: Result) -> None:
        self.output, self.result = output, result
        self.components = result["strengths"]
        """[components, positions]"""

    def explore(self) -> View:
        """A line for each factor, darker where it is stronger. A generated token has what produced
        it, as in Ecco: the strength at the token before."""
        n, tokens = self.output.n_input_tokens, self.output.tokens[0]
        strengths = self.components
        if len(tokens) != n:
            strengths = np.concatenate([strengths[:, :n], strengths[:, n - 1 :]], 1)
        lines = [f"<p>Factor {i + 1}</p>{token_line(tokens, row)}" for i, row in enumerate(strengths)]
        data = {"tokens": self.output._described(), "factors": [strengths.tolist()]}
        return View("Factors", "".join(lines), data)

    def plot(self, **_: Any) -> None:
        raise Error("plot() is not here: explore() shows the factors, result.figure() draws them")

    def _repr_html_(self) -> str:
        return self.explore()._repr_html_()
