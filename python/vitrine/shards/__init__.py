# SPDX-License-Identifier: MIT
"""Reads what `vitrine corpus` writes, for those who train on it.

    acts = vitrine.shards.open("acts/")
    for batch in acts.batches("blocks.3.hook_resid_post", rows=4096, seed=0):
        ...                                      # [4096, D] float32, rows of all documents mixed

    live = vitrine.shards.live(model, texts, "blocks.3.hook_resid_post")
    batch = live.next_batch()                    # the same from a running engine

Needs NumPy alone. `tensors=True` and `dataset()` need torch, `to_sae_lens` needs datasets.
"""

from vitrine.shards.batches import Batches
from vitrine.shards.export import to_sae_lens
from vitrine.shards.files import Shard
from vitrine.shards.live import live
from vitrine.shards.ranks import rank_from_environment
from vitrine.shards.statistics import Statistics
from vitrine.shards.store import Store, open
from vitrine.shards.stream import Stream

__all__ = [
    "Batches",
    "Shard",
    "Statistics",
    "Store",
    "Stream",
    "live",
    "open",
    "rank_from_environment",
    "to_sae_lens",
]
