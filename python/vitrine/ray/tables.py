# SPDX-License-Identifier: MIT
"""One table of a command over a long file of prompts or pairs, by actors that take parts of the file."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.error import Error
from vitrine.ray.cluster import at_least_one, results_of, rows_table
from vitrine.ray.commands import Command
from vitrine.types import Path as PathLike

_STATISTICS = ("mean", "standard_error", "deviation")


def table(
    arguments: Sequence[str],
    out: PathLike,
    *,
    prompts: PathLike | None = None,
    pairs: PathLike | None = None,
    parts: int,
    actors: int,
    num_cpus: float = 1,
    num_gpus: float = 0,
) -> int:
    """The CSV of a command over a file of prompts (a line each) or of pairs, by `actors` of Command; returns its rows.

        vitrine.ray.table(["lens", "--model", "gpt2"], "lens.csv", prompts="prompts.txt", parts=64, actors=8)
        vitrine.ray.table(["patch", "--sweep", "z"], "heads.csv", pairs="pairs.jsonl", parts=64, actors=8)

    With `prompts` (score, lens, saliency, ...) the bytes of the single run. With `pairs` (patch) the means,
    deviations and standard errors over all of them, merged from those of the parts. Parts lie in the folder
    OUT.parts, which all nodes see; the same call goes on with what is missing there.
    """
    rows = split(arguments, out, prompts=prompts, pairs=pairs, parts=parts)
    from ray.data import ActorPoolStrategy

    results_of(
        rows_table(rows).map_batches(
            Command,
            fn_constructor_kwargs={"arguments": command_of(arguments, prompts)},
            batch_size=1,
            compute=ActorPoolStrategy(size=actors),
            num_cpus=num_cpus,
            num_gpus=num_gpus,
        )
    )
    return merge(rows, out)


def command_of(arguments: Sequence[str], prompts: PathLike | None) -> list[str]:
    return [*arguments, "--pairs" if prompts is None else "--prompt-file", "{input}", "--csv", "{output}"]


def split(
    arguments: Sequence[str], out: PathLike, *, prompts: PathLike | None, pairs: PathLike | None, parts: int
) -> list[dict[str, Any]]:
    """Writes the parts of the file, neighbouring lines each: {"input", "output", "lines", "merged"} by part."""
    source = prompts if pairs is None else pairs
    if source is None or (prompts is not None and pairs is not None):
        raise Error("expected either prompts or pairs: a file of lines")
    lines = Path(source).read_bytes().splitlines(keepends=True)
    if not lines:
        raise Error(f"{source}: empty: expected a prompt or pair a line")
    folder = Path(f"{os.path.abspath(out)}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    count = min(at_least_one(parts), len(lines))
    made = json.dumps({"arguments": list(arguments), "lines": len(lines), "parts": count})
    note = folder / "made-by.json"
    if note.exists() and note.read_text() != made:
        raise Error(f"{folder}: holds parts of another call: {note.read_text()}; remove it, or choose another out")
    rows = []
    for part, block in enumerate(np.array_split(np.arange(len(lines)), count)):
        stem = folder / f"part-{part:05}"
        given, text = stem.with_suffix(".lines"), b"".join(lines[i] for i in block)
        if note.exists() and given.read_bytes() != text:
            raise Error(f"{given}: differs from lines {block[0] + 1} to {block[-1] + 1} of {source}: remove {folder}")
        given.write_bytes(text)
        rows.append(
            {
                "input": str(given),
                "output": str(stem.with_suffix(".csv")),
                "lines": len(block),
                "merged": pairs is not None,
            }
        )
    note.write_text(made)
    return rows


def merge(rows: Sequence[dict[str, Any]], out: PathLike) -> int:
    """Writes the table of all parts; returns its rows."""
    how = _of_pairs if rows[0]["merged"] else _of_prompts
    part = Path(f"{out}.part")
    count = -1  # the head
    with part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in how(rows):
            writer.writerow(row)
            count += 1
    part.replace(out)
    return count


def _read(path: str) -> Iterator[list[str]]:
    with open(path, newline="") as file:
        yield from csv.reader(file)


def _of_prompts(rows: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    """One part after the other; a result is numbered by its line of the whole file."""
    before = 0
    for row in rows:
        found = _read(row["output"])
        head = next(found)
        if before == 0:
            yield head
        for result, *rest in found:
            yield [str(before + int(result)), *rest]
        before += row["lines"]


def _of_pairs(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """The statistics of each cell, by the formula of Chan, Golub and LeVeque."""
    tables = [list(_read(row["output"])) for row in rows]
    pairs = [int(row["lines"]) for row in rows]
    head = tables[0][0]
    groups = [index for index, name in enumerate(head) if name.split(" ")[0].endswith("_mean")]
    order = [_column(head, index) for index in groups]
    cells = {index for places in order for index in places}
    keys = [[[v for i, v in enumerate(row) if i not in cells] for row in found] for found in tables]
    for row, other in zip(rows, keys, strict=True):
        if other != keys[0]:
            raise Error(f"{row['output']}: has other cells than the first part: expected pairs of equal length")
    yield head
    for lines in zip(*(found[1:] for found in tables), strict=True):
        merged = list(lines[0])
        for places in order:
            values = ([_number(line[place]) for place in places] for line in lines)
            for place, value in zip(places, _merged(pairs, [(v[0], v[2]) for v in values]), strict=True):
                merged[place] = "" if math.isnan(value) else repr(value)
        yield merged


def _column(head: Sequence[str], index: int) -> list[int]:
    """Where a mean, its standard error and its deviation are."""
    name = head[index]
    find: Callable[[str], int] = lambda word: head.index(name.replace("_mean", f"_{word}", 1))
    return [find(word) for word in _STATISTICS]


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _merged(counts: Sequence[int], parts: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Mean, standard error and deviation of all, from (mean, deviation) of each part; NaN where there is none."""
    total = sum(counts)
    mean = sum(n * m for n, (m, _) in zip(counts, parts, strict=True)) / total
    spread = sum((n - 1) * s * s if n > 1 else 0.0 for n, (_, s) in zip(counts, parts, strict=True))
    spread += sum(n * (m - mean) ** 2 for n, (m, _) in zip(counts, parts, strict=True))
    deviation = math.sqrt(spread / (total - 1)) if total > 1 else math.nan
    return mean, deviation / math.sqrt(total), deviation
