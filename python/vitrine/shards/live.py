# SPDX-License-Identifier: MIT
"""Batches of rows straight from the engine, for the trainer that a disk would slow down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Model, RunBatch
from vitrine.error import Error
from vitrine.shards.batches import Batch, Settings, as_batch
from vitrine.shards.order import permutation
from vitrine.shards.stream import Stream
from vitrine.types import Edits, Prompt


def live(
    model: Model,
    documents: Iterable[Prompt],
    sites: str | Sequence[str],
    *,
    rows: int = 4096,
    seed: int | None = 0,
    rank: int | None = None,
    world: int | None = None,
    drop_last: bool = True,
    buffer_rows: int = 1 << 16,
    window: int = 0,
    prepend: int | None = None,
    edits: Edits = (),
    batch_tokens: int = 2048,
    prefetch: int = 2,
    tensors: bool = False,
) -> Stream[Batch]:
    """Batches as those of Store.batches, of documents that the engine runs meanwhile on another thread.

    `documents`: texts or token ids, read once as they are needed; `itertools.cycle(texts)` has no end.
    Each is cut into windows of `window` tokens (0: the model's context), after the id `prepend`, as
    `vitrine corpus` cuts them. `rank` and `world` take every world-th document. A buffer of `buffer_rows`
    rows is shuffled, and half of it is used before it is filled again; `seed=None` keeps the order. The
    batches depend on the arguments alone, not on the time. `batch_tokens`: tokens of a pass.
    `prefetch` batches are made ahead; then the engine waits. `close()` or a `with` block ends it. Raises
    Error as Model.run, and for a document without tokens.
    """
    settings = Settings.of(
        sites,
        rank,
        world,
        rows=rows,
        seed=seed,
        epochs=1,
        drop_last=drop_last,
        buffer_rows=buffer_rows,
        block_rows=1,
        tensors=tensors,
    )
    context = model.config.context
    window = window or context
    if not 1 <= window <= context:
        raise Error(f"window is {window}: expected 1..{context}, the model's context")
    if batch_tokens < 1:
        raise Error(f"batch_tokens is {batch_tokens}: expected 1 or more")
    if buffer_rows < rows and seed is not None:
        raise Error(f"buffer_rows is {buffer_rows}: expected at least the {rows} rows of a batch")
    plan = model.compile(capture=list(settings.sites), edits=edits)  # also says now what is wrong with the sites
    mine = _windows(model, documents, settings, window, prepend)

    def make(stopping: Callable[[], bool]) -> Iterator[Batch]:
        batches = takewhile(lambda _: not stopping(), _packed(mine, batch_tokens))
        return _mixed((model.run(batch, plan=plan, logits="none") for batch in batches), settings)

    return Stream(make, prefetch)


def _windows(
    model: Model, documents: Iterable[Prompt], settings: Settings, window: int, prepend: int | None
) -> Iterator[list[int]]:
    before = [] if prepend is None else [prepend]
    for index, document in enumerate(documents):
        if index % settings.world != settings.rank:
            continue
        ids = model.encode(document) if isinstance(document, str) else [int(token) for token in document]
        if not ids:
            raise Error(f"document {index} has no tokens: expected a text or token ids")
        ids = before + ids
        yield from (ids[begin : begin + window] for begin in range(0, len(ids), window))


def _packed(windows: Iterable[list[int]], batch_tokens: int) -> Iterator[list[list[int]]]:
    """Windows together, up to a number of tokens, at least one."""
    batch: list[list[int]] = []
    tokens = 0
    for ids in windows:
        if batch and tokens + len(ids) > batch_tokens:
            yield batch
            batch, tokens = [], 0
        batch.append(ids)
        tokens += len(ids)
    if batch:
        yield batch


class _Buffer:
    """Rows of each site, one chunk after the other."""

    def __init__(self, sites: Sequence[str]) -> None:
        self._chunks: dict[str, list[npt.NDArray[Any]]] = {site: [] for site in sites}
        self.rows = 0

    def add(self, run: RunBatch) -> None:
        found = {site: run.rows(site) for site in self._chunks}
        counts = {site: len(rows) for site, rows in found.items()}
        if len(set(counts.values())) > 1:
            raise Error(f"sites have different numbers of rows: {counts}: expected the same positions")
        for site, rows in found.items():
            self._chunks[site].append(rows)
        self.rows += min(counts.values())

    def take(self, places: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float32]]:
        """All rows in this order; the buffer is empty afterwards."""
        taken = {site: np.concatenate(chunks)[places] for site, chunks in self._chunks.items()}
        self.put({site: rows[:0] for site, rows in taken.items()})
        return taken

    def put(self, rows: dict[str, npt.NDArray[np.float32]]) -> None:
        self._chunks = {site: [values] for site, values in rows.items()}
        self.rows = min(len(values) for values in rows.values())


def _mixed(passes: Iterable[RunBatch], settings: Settings) -> Iterator[Batch]:
    buffer = _Buffer(settings.sites)
    fills = 0

    def shuffled() -> dict[str, npt.NDArray[np.float32]]:
        if settings.seed is None:
            return buffer.take(np.arange(buffer.rows))
        return buffer.take(permutation(buffer.rows, settings.seed, settings.rank, fills))

    def cut(rows: dict[str, npt.NDArray[np.float32]], begin: int) -> Batch:
        end = begin + settings.rows
        return as_batch({site: np.ascontiguousarray(v[begin:end]) for site, v in rows.items()}, settings)

    full = settings.rows if settings.seed is None else settings.buffer_rows
    for run in passes:
        buffer.add(run)
        if buffer.rows < full:
            continue
        total = buffer.rows
        used = (total if settings.seed is None else max(settings.rows, total // 2)) // settings.rows * settings.rows
        mixed = shuffled()
        fills += 1
        yield from (cut(mixed, begin) for begin in range(0, used, settings.rows))
        buffer.put({site: rows[used:] for site, rows in mixed.items()})
    total = buffer.rows
    rest = total // settings.rows * settings.rows if settings.drop_last else total
    if rest:
        mixed = shuffled()
        yield from (cut(mixed, begin) for begin in range(0, rest, settings.rows))
