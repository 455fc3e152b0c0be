# SPDX-License-Identifier: MIT
"""Captures of a corpus by actors of Ray."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Capture as Sites
from vitrine._vitrine import LoadedHooks, Model, capture_corpus, load_hooks, save_hooks
from vitrine.error import Error
from vitrine.ray.cluster import at_least_one, listed, parts_table, patiently, refuse_own, results_of, same_version
from vitrine.shards.manifest import Manifest, rank_folder, read_manifest, shard_name
from vitrine.types import Path as PathLike

_LOADING = ("device", "dtype", "tokenizer", "bos", "adapter", "threads", "memory_limit", "gemm", "arithmetic")


class Capture:
    """For `ray.data.Dataset.map_batches`: captures parts of a corpus, and returns their lists of shards.

        vitrine.ray.parts_table(512).map_batches(vitrine.ray.Capture, batch_size=1, num_gpus=1,
            compute=ray.data.ActorPoolStrategy(size=64),
            fn_constructor_kwargs={"paths": ..., "out": ..., "parts": 512, "capture": ..., ...})

    A batch has the column "part". The result has a row for each shard, with `rank`, `world`
    and what the manifest says about it, and no activations. The model is loaded once, with the first part.

    `out`: a folder that all nodes see, or with `filesystem` (of pyarrow.fs) a path there, to which each part
    is uploaded when it is complete, its manifest last. `model` and `options`: those of Model.load() and of
    capture_corpus(), and `store`, "f32", "f16" or "bf16". `prepend` True: the tokenizer's begin of text. `hooks`:
    in place of `capture`, `edits` and `store`, the text of a file of save_hooks(), which other processes can be
    given. Raises Error with one line; what is written until then is used by the next call.
    """

    def __init__(
        self,
        paths: PathLike | Sequence[PathLike],
        out: PathLike,
        parts: int,
        *,
        model: PathLike = "demo",
        hooks: str | None = None,
        version: str | None = None,
        filesystem: Any = None,
        **options: Any,
    ) -> None:
        same_version(version)
        refuse_own(options, ("rank", "world", "folder", "repair", "progress"))
        if hooks is None:
            hooks = hooks_text(options)
        self._hooks = hooks
        self._paths, self._parts = listed(paths), at_least_one(parts)
        self._out, self._filesystem = str(out), filesystem
        self._name = str(model)
        self._loading = {name: options.pop(name) for name in _LOADING if name in options}
        self._options = options
        self._model: Model | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        parts = [_rows(self._part(int(part))) for part in batch["part"]]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _part(self, part: int) -> Manifest:
        folder = rank_folder(part, self._parts)
        if self._filesystem is None:
            self._run(part, self._out)
            return read_manifest(Path(self._out) / folder)
        there = f"{self._out.rstrip('/')}/{folder}"
        with tempfile.TemporaryDirectory(prefix="vitrine-") as scratch:
            here = Path(scratch) / folder
            found = self._fetch_manifest(there, here)
            if found is None:
                self._run(part, scratch)
                found = read_manifest(here)
                self._upload(here, there)
            return found

    def _run(self, part: int, out: str) -> None:
        if self._model is None:
            self._model = Model.load(self._name, **self._loading)
            self._options |= self._of_model(self._model)
        model, options = self._model, self._options
        patiently(lambda: capture_corpus(model, self._paths, out, rank=part, world=self._parts, **options))

    def _of_model(self, model: Model) -> dict[str, Any]:
        """The options that have no text, or that the model decides."""
        found = hooks_of_text(self._hooks)
        options: dict[str, Any] = {"capture": found.captures, "edits": found.edits}
        if self._options.get("prepend") is True:
            options["prepend"] = model.tokenizer.begin_of_text
            if options["prepend"] is None:
                raise Error(f"the tokenizer of {self._name} has no begin-of-text token: give prepend an id")
        return options

    def _fetch_manifest(self, there: str, here: Path) -> Manifest | None:
        """That of the part, if it is complete there already."""
        from pyarrow import fs

        path = f"{there}/manifest.json"
        if self._filesystem.get_file_info(path).type == fs.FileType.NotFound:
            return None
        here.mkdir()
        with self._filesystem.open_input_stream(path) as file:
            (here / "manifest.json").write_bytes(file.read())
        found = read_manifest(here)
        return found if found.complete else None

    def _upload(self, here: Path, there: str) -> None:
        self._filesystem.create_dir(there, recursive=True)
        # The manifest last: it says that the others are there.
        files = [*sorted(here.glob("shard-*")), here / "statistics.safetensors", here / "manifest.json"]
        for file in files:
            with file.open("rb") as source, self._filesystem.open_output_stream(f"{there}/{file.name}") as target:
                while piece := source.read(1 << 24):
                    target.write(piece)


def capture(
    paths: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    parts: int,
    actors: int | tuple[int, int],
    num_cpus: float = 1,
    num_gpus: float = 0,
    filesystem: Any = None,
    **options: Any,
) -> dict[str, int]:
    """Captures a corpus by actors of Capture, on the cluster that ray.init() joined; returns the totals.

    `parts`: several for each actor, so that a slow or lost one holds up little. `actors`: their number, or
    (least, most). Relative paths are this process's. Raises Error with the line of an actor that failed, and
    for ray that is missing.
    """
    least, most = (actors, actors) if isinstance(actors, int) else actors
    if not 1 <= least <= most:
        raise Error(f"actors is {actors}: expected a number, or (least, most)")
    table = parts_table(parts)
    if options.get("hooks") is None:
        options["hooks"] = hooks_text(options)
    for name in ("model", "adapter", "tokenizer"):
        if options.get(name) is not None and Path(options[name]).exists():
            options[name] = os.path.abspath(options[name])
    made = {
        "paths": [os.path.abspath(path) for path in listed(paths)],
        "out": str(out) if filesystem else os.path.abspath(out),
        "parts": parts,
        "filesystem": filesystem,
        "version": same_version(None),
        **options,
    }
    Capture(**made)  # refuses here what every actor would refuse
    from ray.data import ActorPoolStrategy

    rows = results_of(
        table.map_batches(
            Capture,
            fn_constructor_kwargs=made,
            batch_size=1,
            compute=ActorPoolStrategy(min_size=least, max_size=most),
            num_cpus=num_cpus,
            num_gpus=num_gpus,
        )
    )
    return {
        "parts": parts,
        "shards": len(rows),
        **{name: sum(int(row[name]) for row in rows) for name in ("documents", "windows", "tokens", "bytes")},
    }


def hooks_text(options: dict[str, Any]) -> str:
    """`capture`, `edits` and `store`, which are taken out of the options, as the text of a file of hooks."""
    sites, store = options.pop("capture", ()), options.pop("store", "f32")
    sites = [sites] if isinstance(sites, (str, Sites)) else list(sites)
    sites = [Sites(site, store=store) if isinstance(site, str) else site for site in sites]
    with tempfile.TemporaryDirectory(prefix="vitrine-") as scratch:
        file = Path(scratch) / "hooks.json"
        save_hooks(file, capture=sites, edits=options.pop("edits", ()))
        return file.read_text()


def hooks_of_text(text: str) -> LoadedHooks:
    with tempfile.TemporaryDirectory(prefix="vitrine-") as scratch:
        file = Path(scratch) / "hooks.json"
        file.write_text(text)
        return load_hooks(file)


def _rows(manifest: Manifest) -> dict[str, npt.NDArray[Any]]:
    if not manifest.complete:
        raise Error(f"{manifest.path}: incomplete: its run was interrupted; the same call goes on with it")
    shards = len(manifest.bytes)
    return {
        "rank": np.full(shards, manifest.rank),
        "world": np.full(shards, manifest.world),
        "file": np.array([shard_name(index) for index in range(shards)], dtype=str),
        "bytes": manifest.bytes,
        "xxh64": np.array([f"{digest:016x}" for digest in manifest.digests.tolist()], dtype=str),
        "windows": manifest.windows,
        "tokens": manifest.tokens,
        "documents": manifest.documents,
    }
