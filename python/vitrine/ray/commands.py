# SPDX-License-Identifier: MIT
"""Commands of `vitrine` on a cluster: sums of covariance, and any other for each row of a table."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np

from vitrine.command import program
from vitrine.error import Error
from vitrine.ray.cluster import at_least_one, listed, patiently, refuse_own
from vitrine.shards.manifest import rank_folder
from vitrine.types import Path as PathLike

Option = Union[str, int, float, bool, Sequence[str]]
"""The value of an option of the command: True is a flag, a sequence repeats it."""


class Moments:
    """For `map_batches`, as Capture: sums of `vitrine covariance` over parts of a corpus, each in a state file.

    merge_moments() puts them together in the order of the parts: the same bits whatever actor made them.
    """

    def __init__(self, paths: PathLike | Sequence[PathLike], out: PathLike, parts: int, **options: Option) -> None:
        self._parts, self._out = at_least_one(parts), Path(out)
        self._arguments = ["covariance", *listed(paths), *_flags(options, ("state", "rank", "world", "json"))]

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
    states = [str(_state(Path(out), part, parts)) for part in range(at_least_one(parts))]
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


def run_command(arguments: Sequence[str]) -> Any:
    """The JSON of a command, which ends with this process."""
    line = [str(program()), *arguments, "--progress", "none", "--json"]

    def run() -> Any:
        done = subprocess.run(line, capture_output=True, text=True, check=False, preexec_fn=_end_with_parent)
        if done.returncode == 0:
            return json.loads(done.stdout)
        message = (done.stderr.strip().splitlines() or [f"vitrine ended with status {done.returncode}"])[-1]
        raise Error(message.removeprefix("vitrine: "))

    return patiently(run)


def _end_with_parent() -> None:
    """An actor that is killed must not leave a process that goes on writing (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _flags(options: Mapping[str, Option], own: Sequence[str]) -> list[str]:
    refuse_own(options, own)
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
