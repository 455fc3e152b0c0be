# SPDX-License-Identifier: MIT
"""Batches of rows of a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

from vitrine.error import Error
from vitrine.shards.order import Order
from vitrine.shards.ranks import resolve_rank
from vitrine.shards.stream import Stream

if TYPE_CHECKING:
    from vitrine.shards.store import Store

Batch = Union[npt.NDArray[np.float32], dict[str, npt.NDArray[np.float32]], Any]
""" [rows, ...] of one site, or of each of several by name: arrays, or torch tensors with tensors=True."""


@dataclass(frozen=True)
class Settings:
    """What a stream of batches depends on besides the rows."""

    sites: tuple[str, ...]
    one_site: bool
    rows: int
    seed: int | None
    epochs: int | None
    rank: int
    world: int
    drop_last: bool
    buffer_rows: int
    block_rows: int
    tensors: bool

    @classmethod
    def of(cls, sites: str | Sequence[str], rank: int | None, world: int | None, **rest: Any) -> Settings:
        """With the rank of the launcher, unless it is given. `rest`: the other fields but `one_site`."""
        names = site_names(sites)
        rank, world = resolve_rank(rank, world)
        return cls(sites=names, one_site=isinstance(sites, str), rank=rank, world=world, **rest)

    def __post_init__(self) -> None:
        for name in ("rows", "buffer_rows", "block_rows"):
            if getattr(self, name) < 1:
                raise Error(f"{name} is {getattr(self, name)}: expected 1 or more")
        if self.epochs is not None and self.epochs < 1:
            raise Error(f"epochs is {self.epochs}: expected 1 or more, or None for no end")
        if self.seed is not None and self.seed < 0:
            raise Error(f"seed is {self.seed}: expected 0 or more, or None for the order of the shards")

    def batches_per_epoch(self, total_rows: int) -> int:
        """Of this rank."""
        if self.drop_last:
            return total_rows // self.rows // self.world
        return max(0, -(-(-(-total_rows // self.rows) - self.rank) // self.world))


def produce(
    store: Store, settings: Settings, epoch: int, batch: int, worker: int = 0, workers: int = 1
) -> Iterator[Batch]:
    """The rank's batches from number `batch` of `epoch`; of several workers each makes every `workers`-th.

    Batch b of a rank is batch b * world + rank of the epoch, whatever the number of workers.
    """
    shard_rows = store.shard_rows(settings.sites)
    count = settings.batches_per_epoch(int(shard_rows.sum()))
    done = 0  # batches before this epoch, so that workers take turns over its end
    while settings.epochs is None or epoch < settings.epochs:
        order = Order(shard_rows, settings.seed, epoch, settings.buffer_rows, settings.block_rows)
        group = -1
        for b in range(batch, count):
            if (done + b - batch) % workers != worker:
                continue
            begin = (b * settings.world + settings.rank) * settings.rows
            if order.group_of(begin) != group:
                group = order.group_of(begin)
                store.will_need(order.group_blocks(begin), settings.sites)
            where = order.locate(begin, min(begin + settings.rows, order.rows))
            yield as_batch({site: store.gather(site, *where) for site in settings.sites}, settings)
        done += count - batch
        batch, epoch = 0, epoch + 1


def as_batch(found: Mapping[str, npt.NDArray[np.float32]], settings: Settings) -> Batch:
    """In the form that was requested."""
    values: dict[str, Any] = dict(found)
    if settings.tensors:
        import torch

        values = {name: torch.from_numpy(value) for name, value in found.items()}
    return values[settings.sites[0]] if settings.one_site else values


def site_names(sites: str | Sequence[str]) -> tuple[str, ...]:
    names = (sites,) if isinstance(sites, str) else tuple(sites)
    if not names or len(set(names)) < len(names):
        raise Error(f"sites are {list(names)}: expected one or more different names")
    return names


class Batches(Stream[Batch]):
    """Batches of rows of stored sites, as Store.batches() describes them. An iterator with `next_batch()`."""

    def __init__(self, store: Store, settings: Settings, prefetch: int) -> None:
        self._store, self._settings = store, settings
        self._count = settings.batches_per_epoch(int(store.shard_rows(settings.sites).sum()))
        if self._count == 0:
            raise Error(
                f"{store.path}: {store.rows(settings.sites[0])} rows make no batch of {settings.rows} rows "
                f"for each of {settings.world} ranks: expected smaller batches, or drop_last=False"
            )
        self._taken = 0
        super().__init__(lambda _: produce(store, settings, *divmod(self._taken, self._count)), prefetch)

    def __len__(self) -> int:
        """Batches of this rank in one epoch."""
        return self._count

    def __next__(self) -> Batch:
        batch = super().__next__()
        self._taken += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is: for load_state_dict of a stream of the same store and arguments."""
        return {"taken": self._taken, "of": self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on after the last batch that was taken before state_dict()."""
        if state.get("of") != self._identity():
            raise Error(f"the state is of {state.get('of')}: expected that of {self._identity()}")
        self._begin_again()
        self._taken = int(state["taken"])

    def _identity(self) -> str:
        s = self._settings
        parts = ",".join(s.sites)
        return (
            f"{parts} rows={s.rows} seed={s.seed} rank={s.rank}/{s.world} drop_last={s.drop_last} "
            f"buffer={s.buffer_rows}/{s.block_rows} of {self._store.rows(s.sites[0])} rows"
        )
