# SPDX-License-Identifier: MIT
"""The order in which rows are read: a function of seed and epoch alone, with random access.

Rows lie in shards. Runs of `block_rows` neighbouring rows are blocks. The blocks of all shards are
permuted, neighbours in that order form groups of about `buffer_rows` rows, and the rows of a group are
permuted. Reading touches one group at a time, in pieces of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def permutation(count: int, *key: int) -> Integers:
    """Of 0..count-1; the same for equal keys in every version of NumPy, whose bit generators are fixed."""
    words = np.random.PCG64(np.random.SeedSequence(key)).random_raw(count)
    return np.argsort(np.asarray(words, np.uint64), kind="stable")


class Order:
    """Rows of an epoch by their place in it."""

    def __init__(self, shard_rows: Integers, seed: int | None, epoch: int, buffer_rows: int, block_rows: int) -> None:
        """`shard_rows`: number of rows of each shard. Without a seed, rows keep their order."""
        self._key = None if seed is None else (seed, epoch)
        blocks_of = -(-shard_rows // block_rows)
        self._shard = np.repeat(np.arange(len(shard_rows)), blocks_of)
        begins_of = np.cumsum(blocks_of) - blocks_of
        self._first = (np.arange(len(self._shard)) - np.repeat(begins_of, blocks_of)) * block_rows
        rows = np.minimum(block_rows, shard_rows[self._shard] - self._first)
        if self._key is not None:
            order = permutation(len(rows), *self._key)
            self._shard, self._first, rows = self._shard[order], self._first[order], rows[order]
        self._begins = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)  # of blocks, in the epoch
        self._per_group = max(1, buffer_rows // block_rows)
        self._permutation = lru_cache(maxsize=2)(self._permute_group)

    @property
    def rows(self) -> int:
        return int(self._begins[-1])

    def locate(self, begin: int, end: int) -> tuple[Integers, Integers]:
        """Shard, and row in the shard, of the places [begin, end)."""
        places = np.arange(begin, end)
        if self._key is not None:
            parts = []
            while begin < end:
                group = (int(np.searchsorted(self._begins, begin, "right")) - 1) // self._per_group
                first, last = self._span(group)
                stop = min(end, last)
                parts.append(self._permutation(group)[begin - first : stop - first] + first)
                begin = stop
            places = np.concatenate(parts) if parts else places
        block = np.searchsorted(self._begins, places, "right") - 1
        return self._shard[block], self._first[block] + (places - self._begins[block])

    def group_blocks(self, place: int) -> Iterator[tuple[int, int, int]]:
        """(shard, first row, end) of the blocks that a reader at this place goes through."""
        block = int(np.searchsorted(self._begins, place, "right")) - 1
        begin = block // self._per_group * self._per_group
        for i in range(begin, min(begin + self._per_group, len(self._shard))):
            first = int(self._first[i])
            yield int(self._shard[i]), first, first + int(self._begins[i + 1] - self._begins[i])

    def group_of(self, place: int) -> int:
        return (int(np.searchsorted(self._begins, place, "right")) - 1) // self._per_group

    def _span(self, group: int) -> tuple[int, int]:
        first = group * self._per_group
        last = min(first + self._per_group, len(self._shard))
        return int(self._begins[first]), int(self._begins[last])

    def _permute_group(self, group: int) -> Integers:
        assert self._key is not None
        first, last = self._span(group)
        return permutation(last - first, *self._key, group)
