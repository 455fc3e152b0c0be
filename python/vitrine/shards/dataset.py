# SPDX-License-Identifier: MIT
"""A store as a dataset of torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch.utils.data

from vitrine.shards.batches import Batch, Settings, produce

if TYPE_CHECKING:
    from vitrine.shards.store import Store


class ShardDataset(torch.utils.data.IterableDataset[Batch]):
    """Batches of a store as Store.dataset() describes them: an item is a whole batch."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration, as DistributedSampler has it: another order."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        return produce(self._store, self._settings, self._epoch, 0, worker, workers)
