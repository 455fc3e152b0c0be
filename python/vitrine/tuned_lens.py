# SPDX-License-Identifier: MIT
"""The interface of the package tuned-lens: lenses, and statistics of what they predict layer by layer.

    from vitrine.tuned_lens import LogitLens, PredictionTrajectory, TunedLens

    lens = TunedLens.from_model_and_pretrained(model, "translators")      # vitrine lens --fit makes them
    path = PredictionTrajectory.from_lens_and_model(lens, model, ids, targets=ids[1:] + [next_id])
    path.cross_entropy().stats                                            # [L + 1, T]
    path.js_divergence(PredictionTrajectory.from_lens_and_model(LogitLens.from_model(model), model, ids))

A trajectory holds [L + 1, T, V] log-probabilities; vitrine.lens has the same statistics without them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as Folder
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Edit, Model, lens as native_lens
from vitrine.error import Error
from vitrine.pages import Page, grid
from vitrine.tensors import refuse, to_ids, to_numpy, to_tensor, token_texts
from vitrine.types import Path

Floats = npt.NDArray[np.float32]


def _log_softmax(logits: Floats) -> Floats:
    high = logits.astype(np.float64)
    high -= high.max(-1, keepdims=True)
    found: Floats = (high - np.log(np.exp(high).sum(-1, keepdims=True))).astype(np.float32)
    return found


def _logits(model: Model, rows: Floats) -> Floats:
    """[N, V]: the final layernorm and the unembedding of rows [N, D]."""
    last, chunk = model.config.layers - 1, model.config.context
    found = []
    for begin in range(0, len(rows), chunk):  # the last block runs, and its output is replaced
        part = rows[begin : begin + chunk]
        edit = Edit.replace(f"blocks.{last}.hook_resid_post", part, positions=range(len(part)))
        found.append(model.session(1, capacity=len(part)).run_from(last, [part], edits=edit)[0].logits)
    return np.concatenate(found)


class LogitLens:
    """Decodes the residual stream by the final layernorm and the unembedding."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def from_model(cls, model: Model) -> LogitLens:
        return cls(model)

    def transform_hidden(self, h: Any, idx: int) -> Any:
        """[..., D] before block `idx` as the last block's output; here the same."""
        self._layer(idx)
        return to_tensor(self._rows(h))

    def forward(self, h: Any, idx: int) -> Any:
        """Logits [..., V] of the residual stream [..., D] before block `idx`."""
        rows = to_numpy(self.transform_hidden(h, idx))
        flat = np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]), np.float32)
        return to_tensor(_logits(self.model, flat).reshape(*rows.shape[:-1], -1))

    __call__ = forward

    def _layer(self, idx: int) -> int:
        if not 0 <= idx < self.model.config.layers:
            raise Error(f"invalid layer {idx}: expected 0 to {self.model.config.layers - 1}")
        return idx

    def _rows(self, h: Any) -> Floats:
        rows = to_numpy(h).astype(np.float32)
        if rows.ndim < 1 or rows.shape[-1] != self.model.config.width or not rows.size:
            raise Error(f"invalid rows of shape {list(rows.shape)}: expected [..., {self.model.config.width}]")
        return rows


class TunedLens(LogitLens):
    """Decodes h + A h + b (Belrose et al. 2023), with A and b of each layer's translator."""

    def __init__(self, model: Model, weights: Sequence[Floats], biases: Sequence[Floats]) -> None:
        super().__init__(model)
        self.weights, self.biases = list(weights), list(biases)

    @classmethod
    def from_model(cls, model: Model, model_revision: None = None, bias: bool = True) -> TunedLens:
        """Translators that change nothing. `vitrine lens --fit` fits them to a corpus."""
        refuse(
            {"model_revision": model_revision, "bias": None if bias else bias},
            "TunedLens.from_model",
        )
        width, layers = model.config.width, model.config.layers
        zeros = np.zeros(width, np.float32)
        return cls(model, [np.zeros((width, width), np.float32)] * layers, [zeros] * layers)

    @classmethod
    def from_model_and_pretrained(cls, model: Model, lens_resource_id: Path | None = None, **options: Any) -> TunedLens:
        """Reads a folder of translators: config.json and params.pt. Error if they are another model's."""
        refuse(
            options,
            "from_model_and_pretrained",
            "a lens is read from a folder, never from the network",
        )
        if lens_resource_id is None:
            raise Error("missing lens_resource_id: expected a folder with config.json and params.pt")
        folder = Folder(lens_resource_id)
        native_lens(model, [0], mode="tuned", translators=folder)  # refuses what does not fit the model
        parameters = _read_parameters(folder / "params.pt")
        layers = range(model.config.layers)
        zeros = np.zeros(model.config.width, np.float32)
        biases = [parameters.get(f"{n}.bias", zeros) for n in layers]
        return cls(model, [parameters[f"{n}.weight"] for n in layers], biases)

    def save(self, path: Path, ckpt: str = "params.pt", config: str = "config.json") -> None:
        """Writes a folder that from_model_and_pretrained, the package and the command line read. Needs torch."""
        try:
            import torch
        except ImportError:
            raise Error("saving translators needs torch; vitrine lens --fit writes them without") from None
        folder = Folder(path)
        folder.mkdir(exist_ok=True, parents=True)
        pairs = zip(self.weights, self.biases)
        state = [(f"{n}.{k}", v) for n, pair in enumerate(pairs) for k, v in zip(("weight", "bias"), pair)]
        _write(
            folder / ckpt,
            lambda file: torch.save(OrderedDict((k, to_tensor(v)) for k, v in state), file),
        )
        shown = np.array_str(self.model.unembedding(range(self.model.config.vocab)), precision=1)
        described = {
            "base_model_name_or_path": self.model.name,
            "d_model": self.model.config.width,
            "num_hidden_layers": self.model.config.layers,
            "bias": True,
            "base_model_revision": None,
            "unembed_hash": hashlib.sha256(shown.encode()).hexdigest(),
            "lens_type": "linear_tuned_lens",
        }
        _write(folder / config, lambda file: file.write(json.dumps(described).encode()))

    def transform_hidden(self, h: Any, idx: int) -> Any:
        rows, n = self._rows(h), self._layer(idx)
        return to_tensor(rows + rows @ self.weights[n].T + self.biases[n])

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, layer: int) -> tuple[Floats, Floats]:
        """A [D, D] and b [D] of a layer."""
        return self.weights[layer], self.biases[layer]

    def __iter__(self) -> Iterator[tuple[Floats, Floats]]:
        return iter(zip(self.weights, self.biases))


def _write(path: Folder, fill: Any) -> None:
    """Writes a file whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            fill(file)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


class _Unpickler(pickle.Unpickler):
    """Reads torch's file of named tensors; it can make nothing but arrays."""

    _TYPES = {
        "FloatStorage": "<f4",
        "DoubleStorage": "<f8",
        "HalfStorage": "<f2",
        "BFloat16Storage": "bf16",
    }

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in self._TYPES:
            return self._TYPES[name]
        raise Error(f"invalid params.pt: it holds a {module}.{name}, expected tensors alone")

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key = pid[0], pid[1], pid[2]
        if kind != "storage":
            raise Error("invalid params.pt: expected tensors alone")
        data = self._archive.read(f"{self._root}/data/{key}")
        if dtype == "bf16":  # the upper half of a float32
            return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        return np.frombuffer(data, dtype)


def _tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> Floats:
    """A copy of a strided part of a storage, all of it inside."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if len(size) != len(stride) or min(offset, *size, *stride) < 0 or last >= len(storage):
        raise Error(f"invalid params.pt: a tensor of shape {list(size)} that its file does not hold")
    bytes_each = [step * storage.itemsize for step in stride]
    part = np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), bytes_each)
    return np.array(part, np.float32)


def _read_parameters(path: Folder) -> dict[str, Floats]:
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        return dict(_Unpickler(archive, root.rsplit("/", 1)[0]).load())


@dataclass(frozen=True)
class TrajectoryStatistic:
    """A number of each layer and position; a notebook shows the table."""

    name: str
    stats: npt.NDArray[np.floating[Any]]
    """[L + 1, T]: before each block, then the model's output."""
    units: str = ""
    labels: npt.NDArray[np.str_] | None = None
    """[L + 1, T]: what is shown in the cells, by default the most likely tokens."""
    sequence_labels: Sequence[str] | None = None
    includes_output: bool = True

    def page(self) -> Page:
        """The table as a page, the output above."""
        rows = [str(n) for n in range(len(self.stats))]
        if self.includes_output:
            rows[-1] = "output"
        columns = self.sequence_labels or [str(n) for n in range(self.stats.shape[1])]
        texts = None if self.labels is None else self.labels[::-1].tolist()
        title = f"{self.name} ({self.units})" if self.units else self.name
        return Page(title, grid(rows[::-1], columns, self.stats[::-1], texts))

    def figure(self, *_: Any, **__: Any) -> None:
        raise Error("figure() of plotly is not here: page() shows the table, vitrine.lens(...).figure() draws one")

    def _repr_html_(self) -> str:
        return self.page()._repr_html_()


@dataclass(frozen=True)
class PredictionTrajectory:
    """What a lens predicts before each block, and the model after the last."""

    log_probs: Floats
    """[L + 1, T, V]"""
    input_ids: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64] | None = None
    anti_targets: npt.NDArray[np.int64] | None = None
    tokenizer: Any = None

    def __post_init__(self) -> None:
        length = self.log_probs.shape[1]
        given = {
            "input_ids": self.input_ids,
            "targets": self.targets,
            "anti_targets": self.anti_targets,
        }
        for name, ids in given.items():
            if ids is not None and ids.shape != (length,):
                raise Error(f"invalid {name} of shape {list(ids.shape)}: expected [{length}]")
            if ids is not None and not ((ids >= 0) & (ids < self.vocab_size)).all():
                raise Error(f"invalid {name}: an id is outside the vocabulary of {self.vocab_size}")

    @classmethod
    def from_lens_and_model(
        cls,
        lens: LogitLens,
        model: Model,
        input_ids: Any,
        tokenizer: Any = None,
        targets: Any = None,
        anti_targets: Any = None,
        mask_input: bool = False,
    ) -> PredictionTrajectory:
        """`input_ids`, `targets`, `anti_targets`: token ids [T]. `mask_input`: the lens cannot predict the
        input's own tokens. `tokenizer`: by default the model's."""
        ids = to_ids(input_ids, "input_ids")
        if ids.ndim != 1 or not ids.size:
            raise Error(f"invalid input_ids of shape {list(ids.shape)}: expected [T]")
        run = model.run(ids, capture="blocks.*.hook_resid_pre")
        rows = []
        for layer in range(model.config.layers):
            logits = np.array(to_numpy(lens.forward(run[f"blocks.{layer}.hook_resid_pre"], layer)))
            if mask_input:
                logits[:, ids] = np.finfo(np.float32).min
            rows.append(_log_softmax(logits))
        rows.append(_log_softmax(run.logits))
        others = [None if given is None else to_ids(given, "targets") for given in (targets, anti_targets)]
        if tokenizer is None:
            try:
                tokenizer = model.tokenizer
            except Error:  # a model without one has statistics, and ids in its tables
                pass
        return cls(np.stack(rows), ids, others[0], others[1], tokenizer)

    @classmethod
    def from_lens_and_cache(cls, *_: Any, **__: Any) -> PredictionTrajectory:
        raise Error("from_lens_and_cache() is not here: from_lens_and_model(lens, model, input_ids) runs the model")

    @property
    def num_layers(self) -> int:
        return len(self.log_probs) - 1

    @property
    def num_tokens(self) -> int:
        return int(self.log_probs.shape[1])

    @property
    def vocab_size(self) -> int:
        return int(self.log_probs.shape[2])

    @property
    def probs(self) -> Floats:
        return np.exp(self.log_probs)

    @property
    def model_log_probs(self) -> Floats:
        """[T, V]"""
        final: Floats = self.log_probs[-1]
        return final

    def slice_sequence(self, part: slice) -> PredictionTrajectory:
        """The trajectory of some positions."""
        cut = [None if ids is None else ids[part] for ids in (self.targets, self.anti_targets)]
        return replace(
            self,
            log_probs=self.log_probs[:, part],
            input_ids=self.input_ids[part],
            targets=cut[0],
            anti_targets=cut[1],
        )

    def _of(self, ids: npt.NDArray[np.int64] | None, name: str) -> Floats:
        if ids is None:
            raise Error(f"missing {name}: pass them to from_lens_and_model")
        return np.take_along_axis(self.log_probs, ids[None, :, None], 2)[..., 0]

    def _statistic(self, name: str, stats: Any, units: str = "nats", output: bool = True) -> TrajectoryStatistic:
        labels = None
        given = None
        if self.tokenizer is not None:
            best = self.log_probs.argmax(-1)
            labels = np.array(token_texts(self.tokenizer, best.ravel().tolist())).reshape(best.shape)
            labels = labels if output else None
            given = token_texts(self.tokenizer, self.input_ids.tolist())
        return TrajectoryStatistic(name, stats, units, labels, given, output)

    def cross_entropy(self) -> TrajectoryStatistic:
        return self._statistic("Cross Entropy", -self._of(self.targets, "targets"))

    def rank(self, show_ranks: bool = False) -> TrajectoryStatistic:
        """1 + the number of tokens that are more likely than the target."""
        chosen = self._of(self.targets, "targets")
        ranks = 1 + (self.log_probs > chosen[..., None]).sum(-1)
        found = self._statistic("Rank", ranks, "")
        return replace(found, labels=ranks.astype(str)) if show_ranks else found

    def entropy(self) -> TrajectoryStatistic:
        return self._statistic("Entropy", -(self.probs * self.log_probs).sum(-1))

    def forward_kl(self) -> TrajectoryStatistic:
        """KL(output || lens)."""
        final = self.model_log_probs
        return self._statistic("Forward KL", (np.exp(final) * (final - self.log_probs)).sum(-1))

    def max_probability(self) -> TrajectoryStatistic:
        return self._statistic("Max Probability", np.exp(self.log_probs.max(-1)), "probs")

    def log_prob_diff(self, delta: bool = False) -> TrajectoryStatistic:
        """Of the targets and the anti-targets; `delta`: by how much each block changes it, [L, T]."""
        stats = self._of(self.targets, "targets") - self._of(self.anti_targets, "anti_targets")
        if delta:
            return self._statistic("\u0394 Log Prob Difference", np.diff(stats, axis=0), "nats", False)
        return self._statistic("Log Prob Difference", stats)

    def _other(self, other: PredictionTrajectory) -> tuple[Floats, Floats]:
        if other.log_probs.shape != self.log_probs.shape:
            found, wanted = list(other.log_probs.shape), list(self.log_probs.shape)
            raise Error(f"invalid other trajectory of shape {found}: expected {wanted}")
        return self.log_probs, other.log_probs

    def kl_divergence(self, other: PredictionTrajectory) -> TrajectoryStatistic:
        """KL(self || other)."""
        p, q = self._other(other)
        return self._statistic("KL(Self | Other)", (np.exp(p) * (p - q)).sum(-1))

    def js_divergence(self, other: PredictionTrajectory) -> TrajectoryStatistic:
        """As the package computes what it calls so: the mean of KL(self || other) and KL(other || self)."""
        p, q = self._other(other)
        return self._statistic("JS(Self | Other)", 0.5 * ((np.exp(p) - np.exp(q)) * (p - q)).sum(-1))

    def total_variation(self, other: PredictionTrajectory) -> TrajectoryStatistic:
        """As the package computes what it calls so: the largest difference of a token's probability."""
        p, q = self._other(other)
        return self._statistic("TV(Self | Other)", np.abs(np.exp(p) - np.exp(q)).max(-1), "probs")
