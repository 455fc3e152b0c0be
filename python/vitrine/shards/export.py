# SPDX-License-Identifier: MIT
"""Shards as the folder of Arrow files that SAELens's cached activations are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrine.error import Error
from vitrine.types import Path as PathLike

if TYPE_CHECKING:
    from vitrine.shards.store import Store


def to_sae_lens(store: Store, out: PathLike, *, site: str, context_size: int) -> dict[str, int]:
    """Writes a site for `cached_activations_path` of SAELens; needs the package datasets.

    The dataset has the columns `site`, Array2D(context_size, D) in the stored type (bf16 as float32), and
    `token_ids`. Rows follow one another in the order of the shards, over the ends of windows. Returns the
    numbers of `sequences` and of `dropped` rows at the end, which are less than a sequence. Raises Error for
    a folder that is not empty, a site with heads or selected positions, and fewer rows than a sequence.
    """
    try:
        import datasets
    except ImportError:
        raise Error("the folder of SAELens needs the package datasets: pip install datasets") from None
    if context_size < 1:
        raise Error(f"context_size is {context_size}: expected 1 or more")
    if len(store.shape(site)) != 1:
        raise Error(f"{site} has rows of shape {store.shape(site)}: SAELens reads rows of one axis")
    if f"{site}.offsets" in store.shard(0):
        raise Error(f"{site} has no row for some tokens: SAELens expects one for each")
    rows = store.rows(site)
    if rows < context_size:
        raise Error(f"{store.path}: has {rows} rows: expected at least the {context_size} of a sequence")
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Error(f"{folder}: exists: expected a new or empty folder")
    width = store.shape(site)[0]
    dtype = "float16" if store.stored(site) == "f16" else "float32"
    features = datasets.Features(
        {
            site: datasets.Array2D(shape=(context_size, width), dtype=dtype),
            "token_ids": datasets.Sequence(datasets.Value("int32"), length=context_size),
        }
    )

    def sequences() -> Iterator[dict[str, Any]]:
        values = np.empty((0, width), dtype)
        ids = np.empty(0, np.int32)
        for index in range(store.shards):
            shard = store.shard(index)
            values = np.concatenate([values, shard[site].astype(dtype, copy=False)])
            ids = np.concatenate([ids, shard["ids"]])
            whole = len(ids) // context_size * context_size
            for begin in range(0, whole, context_size):
                end = begin + context_size
                yield {site: values[begin:end], "token_ids": ids[begin:end]}
            values, ids = values[whole:], ids[whole:]

    with tempfile.TemporaryDirectory(prefix=".vitrine-", dir=folder.absolute().parent) as made:
        # The fingerprint replaces a hash of the generator, which cannot be pickled.
        found = datasets.Dataset.from_generator(sequences, features=features, cache_dir=made, fingerprint="vitrine")
        found.save_to_disk(f"{made}/whole")
        sequences_written = len(found)
        del found
        if folder.exists():
            folder.rmdir()
        os.rename(f"{made}/whole", folder)
    return {"sequences": sequences_written, "dropped": rows - sequences_written * context_size}
