# SPDX-License-Identifier: MIT
"""Captures of a corpus on a cluster of Ray, by the engine's own shards and manifests.

    import vitrine.ray
    vitrine.ray.capture("corpus.jsonl", "/shared/acts", parts=512, actors=64, num_gpus=1,
                        model="gpt2", capture="blocks.5.hook_resid_post", store="f16", device="cuda")
    acts = vitrine.shards.open("/shared/acts")

A part is what rank r of `parts` is to `vitrine corpus`: the documents whose index modulo `parts` is r, in a
folder of their own. Names and bytes of its files follow from the documents and options alone, each file
appears whole or not at all, and a part goes on after its last shard. So each document is captured once,
whatever actor is lost; the same call goes on with what is missing. Only capture() and parts_table() need ray[data].
"""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np

from vitrine._vitrine import Capture as Sites
from vitrine._vitrine import Model, capture_corpus
from vitrine.command import program
from vitrine.error import Error
from vitrine.shards.manifest import Manifest, rank_folder, read_manifest
from vitrine.types import Path as PathLike

Option = Union[str, int, float, bool, Sequence[str]]
"""The value of an option of the command: True is a flag, a sequence repeats it."""

_COLUMNS = ("file", "bytes", "xxh64", "windows", "tokens", "documents")
_LOADING = ("device", "dtype", "tokenizer", "bos", "adapter", "threads", "memory_limit", "gemm")
_WAIT_FOR_LOCK_S = 60.0  # an actor that was lost may take a moment to be gone


class Capture:
    """For `ray.data.Dataset.map_batches`: captures parts of a corpus, and returns their lists of shards.

        vitrine.ray.parts_table(512).map_batches(vitrine.ray.Capture, batch_size=1, num_gpus=1,
            compute=ray.data.ActorPoolStrategy(size=64),
            fn_constructor_kwargs={"paths": ..., "out": ..., "parts": 512, "capture": ..., ...})

    A batch has the column "part". The result has a row for each shard, with `rank`, `world`
    and what the manifest says about it, and no activations. The model is loaded once, with the first part.

    `out`: a folder that all nodes see, or with `filesystem` (of pyarrow.fs) a path there, to which each part
    is uploaded when it is complete, its manifest last. `model` and `options`: those of Model.load() and of
    capture_corpus(), and `store`, "f32", "f16" or "bf16". Raises Error with one line; what is written
    until then is used by the next call.
    """

    def __init__(
        self,
        paths: PathLike | Sequence[PathLike],
        out: PathLike,
        parts: int,
        *,
        model: PathLike = "demo",
        store: str = "f32",
        filesystem: Any = None,
        **options: Any,
    ) -> None:
        _refuse(options, ("rank", "world", "folder", "repair", "progress"))
        self._paths, self._parts = _listed(paths), _at_least_one(parts)
        self._out, self._filesystem = str(out), filesystem
        self._name, self._store = str(model), store
        self._loading = {name: options.pop(name) for name in _LOADING if name in options}
        self._options = options
        self._model: Model | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        shards = [row for part in batch["part"] for row in self._part(int(part))]
        names = ("rank", "world", *_COLUMNS)
        return {name: np.array([row[name] for row in shards]) for name in names}

    def _part(self, part: int) -> list[dict[str, Any]]:
        folder = rank_folder(part, self._parts)
        if self._filesystem is None:
            self._run(part, self._out)
            return _rows(read_manifest(Path(self._out) / folder))
        there = f"{self._out.rstrip('/')}/{folder}"
        with tempfile.TemporaryDirectory(prefix="vitrine-") as scratch:
            here = Path(scratch) / folder
            if not self._fetch_manifest(there, here):
                self._run(part, scratch)
                self._upload(here, there)
            return _rows(read_manifest(here))

    def _run(self, part: int, out: str) -> None:
        if self._model is None:
            self._model = Model.load(self._name, **self._loading)
        model, options = self._model, dict(self._options)
        if self._store != "f32":
            sites = options.get("capture", ())
            sites = [sites] if isinstance(sites, str) else sites
            options["capture"] = [Sites(site, store=self._store) for site in sites]
        _patiently(lambda: capture_corpus(model, self._paths, out, rank=part, world=self._parts, **options))

    def _fetch_manifest(self, there: str, here: Path) -> bool:
        """Whether the part is complete there already."""
        from pyarrow import fs

        path = f"{there}/manifest.json"
        if self._filesystem.get_file_info(path).type == fs.FileType.NotFound:
            return False
        here.mkdir()
        with self._filesystem.open_input_stream(path) as file:
            (here / "manifest.json").write_bytes(file.read())
        return read_manifest(here).complete

    def _upload(self, here: Path, there: str) -> None:
        self._filesystem.create_dir(there, recursive=True)
        files = sorted(here.glob("shard-*")) + [here / "manifest.json"]  # which says that the shards are there
        for file in files:
            with file.open("rb") as source, self._filesystem.open_output_stream(f"{there}/{file.name}") as target:
                while piece := source.read(1 << 24):
                    target.write(piece)


class Moments:
    """For `map_batches`, as Capture: sums of `vitrine covariance` over parts of a corpus, each in a state file.

    merge_moments() puts them together in the order of the parts: the same bits whatever actor made them.
    """

    def __init__(self, paths: PathLike | Sequence[PathLike], out: PathLike, parts: int, **options: Option) -> None:
        self._parts, self._out = _at_least_one(parts), Path(out)
        self._arguments = ["covariance", *_listed(paths), *_flags(options, ("state", "rank", "world", "json"))]

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        self._out.mkdir(parents=True, exist_ok=True)
        tokens = []
        for part in batch["part"]:
            state = str(_state(self._out, int(part), self._parts))
            found = run_command([*self._arguments, "--state", state, "--rank", str(part), "--world", str(self._parts)])
            tokens.append(found["corpus"]["tokens"])
        return {"rank": np.asarray(batch["part"]), "tokens": np.array(tokens)}


def merge_moments(out: PathLike, parts: int, **options: Option) -> dict[str, Any]:
    """The JSON of `vitrine covariance --merge` over the parts. `options`: of the command, as out="all.safetensors"."""
    states = [str(_state(Path(out), part, parts)) for part in range(_at_least_one(parts))]
    found: dict[str, Any] = run_command(["covariance", *_flags(options, ("merge", "json")), "--merge", *states])
    return found


class Command:
    """For `map_batches`: a command of `vitrine` for each row, as score, lens or saliency tables and pairs.

        Command(["score", "--prompt-file", "{input}", "--csv", "{output}", "--model", "gpt2"])

    A batch has the columns "input" and "output", paths that all nodes see; a row whose output exists is not
    run again. Returns the batch.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        text = " ".join(arguments)
        for place in ("{input}", "{output}"):
            if place not in text:
                raise Error(f"arguments have no {place}: expected it where the command names the file")
        self._arguments = list(arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for source, target in zip(batch["input"], batch["output"], strict=True):
            if not Path(target).exists():
                places = {"{input}": str(source), "{output}": str(target)}
                run_command([_filled(argument, places) for argument in self._arguments])
        return batch


def parts_table(parts: int) -> Any:
    """A ray.data.Dataset with the rows {"part": 0..parts-1}, a block each.

    It needs no task of its own, so that the actors may have all CPUs.
    """
    try:
        import ray.data
    except ImportError:
        raise Error("vitrine.ray needs Ray here: pip install 'ray[data]'") from None
    return ray.data.from_items([{"part": part} for part in range(_at_least_one(parts))], override_num_blocks=parts)


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
    (least, most). Raises Error with the first line of an actor that failed, and for ray that is missing.
    """
    least, most = (actors, actors) if isinstance(actors, int) else actors
    if not 1 <= least <= most:
        raise Error(f"actors is {actors}: expected a number, or (least, most)")
    table = parts_table(parts)
    made = {"paths": _listed(paths), "out": str(out), "parts": parts, "filesystem": filesystem, **options}
    Capture(**made)  # refuses here what every actor would refuse
    from ray.data import ActorPoolStrategy
    from ray.exceptions import RayError

    table = table.map_batches(
        Capture,
        fn_constructor_kwargs=made,
        batch_size=1,
        compute=ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
    )
    try:
        rows = table.take_all()
    except RayError as error:
        raise Error(_line_of(error)) from None
    return {
        "parts": parts,
        "shards": len(rows),
        **{name: sum(int(row[name]) for row in rows) for name in ("documents", "windows", "tokens", "bytes")},
    }


def run_command(arguments: Sequence[str]) -> Any:
    """The JSON of a command, which ends with this process."""
    line = [str(program()), *arguments, "--progress", "none", "--json"]

    def run() -> Any:
        done = subprocess.run(line, capture_output=True, text=True, check=False, preexec_fn=_end_with_parent)
        if done.returncode == 0:
            return json.loads(done.stdout)
        message = (done.stderr.strip().splitlines() or [f"vitrine ended with status {done.returncode}"])[-1]
        raise Error(message.removeprefix("vitrine: "))

    return _patiently(run)


def _patiently(work: Callable[[], Any]) -> Any:
    """What `work` returns. Waits while another process has the same part."""
    until = time.monotonic() + _WAIT_FOR_LOCK_S
    while True:
        try:
            return work()
        except Error as error:
            if "another process" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.2)


def _end_with_parent() -> None:
    """An actor that is killed must not leave a process that goes on writing (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _rows(manifest: Manifest) -> list[dict[str, Any]]:
    if not manifest.complete:
        raise Error(f"{manifest.path}: incomplete: its run was interrupted; the same call goes on with it")
    shards = json.loads(manifest.path.read_bytes())["shards"]
    place = {"rank": manifest.rank, "world": manifest.world}
    return [place | {name: shard[name] for name in _COLUMNS} for shard in shards]


def _at_least_one(parts: int) -> int:
    if parts < 1:
        raise Error(f"parts is {parts}: expected 1 or more")
    return parts


def _listed(paths: PathLike | Sequence[PathLike]) -> list[str]:
    return [str(paths)] if isinstance(paths, (str, Path)) else [str(path) for path in paths]  # type: ignore[union-attr]


def _refuse(options: Mapping[str, Any], own: Sequence[str]) -> None:
    for name in own:
        if name in options:
            raise Error(f"{name} is set by vitrine.ray: leave it out")


def _flags(options: Mapping[str, Option], own: Sequence[str]) -> list[str]:
    _refuse(options, own)
    flags: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags += [flag] if value else []
        elif isinstance(value, (str, int, float)):
            flags += [flag, str(value)]
        else:
            flags += [text for each in value for text in (flag, each)]
    return flags


def _filled(argument: str, places: Mapping[str, str]) -> str:
    for place, path in places.items():
        argument = argument.replace(place, path)
    return argument


def _state(out: Path, part: int, parts: int) -> Path:
    return out / f"{rank_folder(part, parts)}.safetensors"


def _line_of(error: BaseException) -> str:
    """The line of a vitrine.Error that an actor raised, or Ray's own first line."""
    lines = str(error).strip().splitlines()
    mark = "vitrine.error.Error: "
    return next(
        (line.split(mark, 1)[1] for line in reversed(lines) if mark in line), lines[-1] if lines else repr(error)
    )
