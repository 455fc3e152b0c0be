# SPDX-License-Identifier: MIT
"""A folder of shards as one table of rows."""

from __future__ import annotations

import subprocess
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vitrine.command import program
from vitrine.error import Error
from vitrine.shards.batches import Batches, Settings
from vitrine.shards.files import Shard
from vitrine.shards.manifest import Manifest, check_sizes, read_manifests
from vitrine.shards.statistics import RunningStatistics, Statistics, stored_statistics
from vitrine.types import Path as PathLike

if TYPE_CHECKING:
    from vitrine.shards.dataset import ShardDataset

_OPEN_SHARDS = 384  # each keeps a file descriptor, of which a process has 1024 by default
_CHUNK_ROWS = 1 << 14


def open(path: PathLike, *, incomplete: bool = False, lazy: bool = False, verify: bool = False) -> Store:
    """Opens a folder that `vitrine corpus` wrote. Shards are mapped when they are read.

    Reads all manifests and compares the sizes of the files with them; `lazy` leaves that to the time when
    a shard is first read. `incomplete`: accepts a capture that has not ended, as far as its manifests go.
    `verify`: also compares all checksums, which reads everything (Store.verify). Raises Error naming the
    first manifest or shard that is missing, damaged, incomplete or of another run.
    """
    store = Store(Path(path), incomplete, lazy)
    if verify:
        store.verify()
    return store


class Store:
    """All shards of a capture, read-only. Shards are numbered rank by rank, rows shard by shard."""

    path: Path
    identity: Mapping[str, Any]
    """What the rows depend on, as the manifest has it: model, tokenizer, plan, corpus."""
    complete: bool
    skipped: int
    """Bad documents that were left out."""

    def __init__(self, path: Path, incomplete: bool = False, lazy: bool = False) -> None:
        self.path = path
        self._manifests = read_manifests(path, incomplete)
        if not lazy:
            for manifest in self._manifests:
                check_sizes(manifest)
        counts = [len(manifest.bytes) for manifest in self._manifests]
        self._ends = np.cumsum(counts, dtype=np.int64)
        if sum(counts) == 0:
            raise Error(f"{path}: contains no shard: expected a capture with at least one")
        self.identity = self._manifests[0].identity
        self.world = self._manifests[0].world
        self.complete = len(self._manifests) == self.world and all(m.complete for m in self._manifests)
        self.skipped = sum(m.skipped for m in self._manifests)
        self._tokens = np.concatenate([m.tokens for m in self._manifests])
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._lock = Lock()
        self._rows: dict[str, npt.NDArray[np.int64]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.path, not self.complete, True)

    def __repr__(self) -> str:
        return f"<vitrine.shards.Store {self.path}: {self.shards} shards, {self.tokens} tokens>"

    @property
    def sites(self) -> list[str]:
        """Names of the stored sites."""
        return self.shard(0).sites

    @property
    def shards(self) -> int:
        """Number of shards."""
        return int(self._ends[-1])

    @property
    def tokens(self) -> int:
        """Tokens with results."""
        return int(self._tokens.sum())

    @property
    def windows(self) -> int:
        return sum(int(m.windows.sum()) for m in self._manifests)

    @property
    def documents(self) -> int:
        return sum(int(m.documents.sum()) for m in self._manifests)

    @property
    def bytes(self) -> int:
        return sum(int(m.bytes.sum()) for m in self._manifests)

    def rows(self, site: str) -> int:
        """Number of rows of a site."""
        return int(self.shard_rows((site,)).sum())

    def shape(self, site: str) -> tuple[int, ...]:
        """Shape of one row: (D,), (H, K), ..."""
        return self.shard(0).shape(site)[1:]

    def stored(self, site: str) -> str:
        """Type on the disk: "f32", "f16", "bf16" or "int8"."""
        return self.shard(0).stored(site)

    def shard(self, index: int) -> Shard:
        """The shard with this number, mapped. Raises Error for a damaged one."""
        with self._lock:
            found = self._open.get(index)
            if found is not None:
                self._open.move_to_end(index)
                return found
        manifest, number = self._place(index)
        found = Shard(manifest.shard(number))
        if found.shape("documents") != (int(manifest.windows[number]),):
            raise Error(f"{found.path}: has other windows than the manifest says; `vitrine corpus --repair` mends it")
        with self._lock:
            self._open[index] = found
            while len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)
        return found

    def shard_rows(self, sites: Sequence[str]) -> npt.NDArray[np.int64]:
        """Number of rows of each shard at these sites, which must have the same rows."""
        columns = [self._site_rows(site) for site in sites]
        for site, column in zip(sites, columns):
            if not np.array_equal(column, columns[0]):
                raise Error(f"{site} has other rows than {sites[0]}: expected sites of the same positions")
        return columns[0]

    def document(self, index: int, site: str) -> npt.NDArray[Any]:
        """All rows of a document at a site, in its order. `index` counts the corpus's documents from 0."""
        parts = [
            shard[site][shard.window_rows(site)[w] : shard.window_rows(site)[w + 1]]
            for shard, w in self._windows_of(index)
        ]
        return np.concatenate(parts)

    def positions(self, index: int, site: str) -> npt.NDArray[np.int64]:
        """Position in the document of each row of document()."""
        parts = []
        for shard, w in self._windows_of(index):
            rows = shard.window_rows(site)
            parts.append(shard.row_positions(site)[rows[w] : rows[w + 1]])
        return np.concatenate(parts)

    def ids(self, index: int) -> npt.NDArray[np.int32]:
        """The tokens of a document, once each."""
        parts = []
        for shard, w in self._windows_of(index):
            begin, end = shard["offsets"][w : w + 2]
            parts.append(shard["ids"][begin + shard["repeated"][w] : end])
        return np.concatenate(parts)

    def row(self, document: int, position: int, site: str) -> npt.NDArray[Any]:
        """The row of one token."""
        found = np.flatnonzero(self.positions(document, site) == position)
        if len(found) == 0:
            raise Error(f"{site} has no row for position {position} of document {document}")
        row: npt.NDArray[Any] = self.document(document, site)[found[0]]
        return row

    def batches(
        self,
        sites: str | Sequence[str],
        *,
        rows: int = 4096,
        seed: int | None = 0,
        epochs: int | None = 1,
        rank: int | None = None,
        world: int | None = None,
        drop_last: bool = True,
        buffer_rows: int = 1 << 18,
        block_rows: int = 1 << 10,
        prefetch: int = 2,
        tensors: bool = False,
    ) -> Batches:
        """Shuffled batches [rows, ...] in float32 of a site; of several sites a dict, with the same rows.

        Every row comes once an epoch. The order depends on seed, epoch, buffer_rows and block_rows alone:
        blocks of `block_rows` neighbouring rows are shuffled over all shards, and rows within about
        `buffer_rows`. `seed=None` keeps the order of the shards. `epochs=None` has no end.

        Rank r of `world` has the batches r, r + world, ... of the whole; the default comes from the launcher
        (rank_from_environment). With `drop_last` all ranks have equally many whole batches, otherwise every
        row is in one. `prefetch`: batches read ahead on a thread. `tensors`: torch tensors, not arrays.
        """
        settings = Settings.of(
            sites,
            rank,
            world,
            rows=rows,
            seed=seed,
            epochs=epochs,
            drop_last=drop_last,
            buffer_rows=buffer_rows,
            block_rows=block_rows,
            tensors=tensors,
        )
        return Batches(self, settings, prefetch)

    def dataset(
        self,
        sites: str | Sequence[str],
        *,
        rows: int = 4096,
        seed: int | None = 0,
        epochs: int | None = 1,
        rank: int | None = None,
        world: int | None = None,
        drop_last: bool = True,
        buffer_rows: int = 1 << 18,
        block_rows: int = 1 << 10,
    ) -> ShardDataset:
        """The batches of batches() as a torch IterableDataset: DataLoader(dataset, batch_size=None, num_workers=n).

        The loader yields the same batches in the same order with any number of workers.
        """
        from vitrine.shards.dataset import ShardDataset

        settings = Settings.of(
            sites,
            rank,
            world,
            rows=rows,
            seed=seed,
            epochs=epochs,
            drop_last=drop_last,
            buffer_rows=buffer_rows,
            block_rows=block_rows,
            tensors=True,
        )
        return ShardDataset(self, settings)

    def statistics(self, site: str, *, covariance: bool = False) -> Statistics:
        """Mean, variance, mean length and, if requested, covariance of all rows of a site.

        Where the capture has them beside its shards, no row is read; rows with NaN or infinity are left out there.
        """
        shard_rows = self.shard_rows((site,)).tolist()
        stored = stored_statistics(self._manifests, site, covariance)
        if stored is not None:
            return stored
        running = RunningStatistics(covariance)
        for index, count in enumerate(shard_rows):
            for begin in range(0, count, _CHUNK_ROWS):
                running.add(self.shard(index).take(site, np.arange(begin, min(begin + _CHUNK_ROWS, count))))
        return running.result()

    def verify(self) -> None:
        """Compares the checksum of every shard, as `vitrine corpus --verify`. Raises Error naming the first problem."""
        done = subprocess.run(
            [str(program()), "corpus", "--verify", "--progress", "none", "--out", str(self.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 3):  # 3: intact but incomplete, which open() has judged
            raise Error(done.stderr.strip().removeprefix("vitrine: ") or f"vitrine ended with {done.returncode}")

    # What batches are made of.

    def gather(self, site: str, shards: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Rows by shard and row in it, in this order, copied."""
        out = np.empty((len(rows), *self.shape(site)), np.float32)
        order = np.lexsort((rows, shards))  # each shard once, from its begin to its end
        ends = np.flatnonzero(np.diff(shards[order], append=-1)) + 1
        begin = 0
        for end in ends.tolist():
            places = order[begin:end]
            out[places] = self.shard(int(shards[places[0]])).take(site, rows[places])
            begin = end
        return out

    def will_need(self, blocks: Iterable[tuple[int, int, int]], sites: Sequence[str]) -> None:
        for shard, first, last in blocks:
            for site in sites:
                self.shard(shard).will_need(site, first, last)

    def _place(self, index: int) -> tuple[Manifest, int]:
        if not 0 <= index < self.shards:
            raise Error(f"shard {index} is out of range: expected 0..{self.shards - 1}")
        rank = int(np.searchsorted(self._ends, index, "right"))
        return self._manifests[rank], index - int(self._ends[rank] - len(self._manifests[rank].bytes))

    def _site_rows(self, site: str) -> npt.NDArray[np.int64]:
        if site not in self._rows:
            first = self.shard(0)
            if site not in first.sites:
                raise Error(f"{self.path}: has no site {site!r}: it has {', '.join(first.sites)}")
            if f"{site}.offsets" in first:  # selected positions: only the shards know how many rows they have
                counts = [self.shard(i).shape(site)[0] for i in range(self.shards)]
                self._rows[site] = np.array(counts, np.int64)
            else:
                self._rows[site] = self._tokens
        return self._rows[site]

    def _windows_of(self, document: int) -> list[tuple[Shard, int]]:
        """The windows of a document: their shards and numbers there."""
        found = []
        begin = 0
        for manifest in self._manifests:
            if document % self.world == manifest.rank:
                first = int(np.searchsorted(manifest.last, document, "left"))
                last = int(np.searchsorted(manifest.first, document, "right"))
                for number in range(first, last):
                    shard = self.shard(begin + number)
                    found += [(shard, int(w)) for w in np.flatnonzero(shard["documents"] == document)]
            begin += len(manifest.bytes)
        if not found:
            raise Error(f"{self.path}: has no document {document}; its index counts from 0, without skipped ones")
        return found
