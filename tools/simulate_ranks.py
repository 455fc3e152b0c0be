#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Simulates many ranks that capture a corpus and fail, and opens the manifests that they would leave.

    PYTHONPATH=build/python tools/simulate_ranks.py --ranks 1000 --shards 1000000

The engine is a clock: a shard takes --shard-seconds, times a factor of its rank (stragglers). A rank fails at
random, loses the shard in its hands and comes back after --restart-seconds, as `vitrine corpus` resumes. What is
written (shards, and the manifest anew after each) is counted. Then manifests of the real format are written to a
scratch folder and read by vitrine.shards.
"""

from __future__ import annotations

import argparse
import heapq
import json
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitrine.shards.manifest import FORMAT, rank_folder, shard_name
from vitrine.shards.order import Order
from vitrine.shards.store import Store

IDENTITY = {"corpus": {"files": [{"bytes": 10**12, "name": "corpus.jsonl"}]}, "model": {"name": "gpt2"}, "plan": {}}


@dataclass
class Outcome:
    seconds: float = 0.0  # until the last rank ends
    median: float = 0.0
    failures: int = 0
    lost: float = 0.0  # seconds of work on shards that a failure cut off
    manifest_bytes: int = 0


def entry(index: int, first: int, last: int, size: int, tokens: int) -> dict[str, object]:
    """A shard's part of a manifest."""
    return {
        "bytes": size,
        "documents": last - first + 1,
        "file": shard_name(index),
        "first": {"begin": 0, "document": first},
        "last": {"begin": 0, "digest": "xxh64:0123456789abcdef", "document": last},
        "tokens": tokens,
        "windows": last - first + 1,
        "xxh64": "0123456789abcdef",
    }


def simulate(options: argparse.Namespace, parts_per_rank: int) -> Outcome:
    """Static with one part for each rank; with more, a free rank takes the next part, as actors of Ray do."""
    draw = np.random.Generator(np.random.PCG64(options.seed))
    speed = draw.lognormal(0.0, options.spread, options.ranks)
    parts = options.ranks * parts_per_rank
    entry_bytes = len(json.dumps(entry(0, 10**6, 10**6 + 99, 128_000_000, 80_000), indent=1)) + 14
    found = Outcome()
    free = [(0.0, rank) for rank in range(options.ranks)]
    ends = np.zeros(options.ranks)
    for part in range(parts):
        per_part = options.shards * (part + 1) // parts - options.shards * part // parts
        now, rank = heapq.heappop(free)
        shard = options.shard_seconds * speed[rank]
        work = per_part * shard
        while True:  # until the next failure comes after the end of the part
            until = draw.exponential(options.mtbf_hours * 3600)
            if until >= work:
                now += work
                break
            found.failures += 1
            found.lost += until % shard
            work -= until // shard * shard
            now += until + options.restart_seconds
        # The manifest is written whole after each shard.
        found.manifest_bytes += entry_bytes * per_part * (per_part + 1) // 2
        ends[rank] = now
        heapq.heappush(free, (now, rank))
    found.seconds, found.median = float(ends.max()), float(np.median(ends))
    return found


def write_manifests(root: Path, ranks: int, per_rank: int) -> int:
    total = 0
    for rank in range(ranks):
        shards = [
            entry(i, rank + ranks * 100 * i, rank + ranks * (100 * i + 99), 128_000_000, 80_000) for i in range(per_rank)
        ]
        manifest = {
            "complete": True,
            "format": FORMAT,
            "identity": {**IDENTITY, "rank": rank, "world": ranks},
            "shards": shards,
            "skipped": 0,
        }
        text = json.dumps(manifest, indent=1) + "\n"
        folder = root / rank_folder(rank, ranks)
        folder.mkdir()
        (folder / "manifest.json").write_text(text)
        total += len(text)
    return total


def read_back(root: Path, rows: int, block_rows: int) -> None:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    store = Store(root, lazy=True)
    opened = time.monotonic()
    order = Order(np.full(store.shards, store.tokens // store.shards), 0, 0, 1 << 18, block_rows)
    ordered = time.monotonic()
    for batch in range(100):
        order.locate(batch * rows, (batch + 1) * rows)
    located = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"reader: {store.shards} shards of {store.world} manifests opened in {opened - start:.1f} s, an epoch of "
        f"{order.rows:.3g} rows in blocks of {block_rows} ordered in {ordered - opened:.1f} s, a batch of {rows} located in "
        f"{(located - ordered) * 10:.1f} ms, {(peak - before) / 1024:.0f} MiB more memory at the most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=1_000_000, help="of all ranks")
    parser.add_argument("--shard-seconds", type=float, default=5.0, help="a rank's time for a shard")
    parser.add_argument("--spread", type=float, default=0.1, help="of the ranks' speeds (lognormal)")
    parser.add_argument("--mtbf-hours", type=float, default=100.0, help="of one rank")
    parser.add_argument("--restart-seconds", type=float, default=120.0)
    parser.add_argument("--block-rows", type=int, default=1 << 14, help="of the reader's shuffle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts-per-rank", type=int, nargs="+", default=[1, 8, 64])
    options = parser.parse_args()
    if min(options.ranks, *options.parts_per_rank) < 1 or options.shards < options.ranks * max(options.parts_per_rank):
        parser.error("expected at least one rank, and at least one shard for each part")
    ideal = options.shards * options.shard_seconds / options.ranks
    print(f"{options.ranks} ranks, {options.shards} shards, {ideal:.0f} s without failures at equal speed")
    for parts in options.parts_per_rank:
        start = time.monotonic()
        found = simulate(options, parts)
        print(
            f"{parts} parts a rank: {found.seconds:.0f} s ({found.seconds / ideal:.2f} of the ideal, median rank "
            f"{found.median / ideal:.2f}), {found.failures} failures lost {found.lost:.0f} s of work, manifests took "
            f"{found.manifest_bytes / 1e9:.1f} GB of writes ({time.monotonic() - start:.1f} s to simulate)"
        )
    rate = options.ranks / options.shard_seconds
    print(f"metadata: {rate:.0f} shards/s, with a create and a rename for each shard and each manifest {4 * rate:.0f}/s")
    with tempfile.TemporaryDirectory() as scratch:
        start = time.monotonic()
        total = write_manifests(Path(scratch), options.ranks, options.shards // options.ranks)
        print(f"manifests: {total / 1e6:.0f} MB, written in {time.monotonic() - start:.1f} s")
        read_back(Path(scratch), 4096, options.block_rows)


if __name__ == "__main__":
    main()
