#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What several ranks of `vitrine corpus` on one machine capture together, against one rank, in turns.

    vitrine make-random /tmp/gpt2 --size gpt2
    python3 tools/rank_scaling.py --vitrine build/cli/vitrine --model /tmp/gpt2 --ranks 1,2,4

Each rank has one thread. The ideal is one rank's rate times the ranks, but not more than there are processors. The corpus is token ids, and
what is written is one residual stream in float16. Rounds take turns; a figure is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


def write_corpus(path: Path, model: Path, tokens: int, length: int) -> int:
    vocab = json.loads((model / "config.json").read_text())["vocab_size"]
    documents = tokens // length
    path.write_text("".join(json.dumps({"ids": [(i + 17 * s) * 7919 % vocab for i in range(length)]}) + "\n" for s in range(documents)))
    return documents * length


def seconds(args: argparse.Namespace, corpus: Path, world: int) -> float:
    with tempfile.TemporaryDirectory(dir=args.scratch) as out:
        command = [args.vitrine, "corpus", corpus, "--model", args.model, "--capture", args.capture, "--store", "f16", "--out", out,
                   "--threads", 1, "--world", world, "--progress", "none", "--rank"]
        start = time.perf_counter()
        ranks = [subprocess.Popen([str(word) for word in [*command, rank]], stdout=subprocess.DEVNULL) for rank in range(world)]
        if any([rank.wait() for rank in ranks]):
            raise SystemExit("a rank failed")
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", type=Path, required=True, help="the command")
    parser.add_argument("--model", type=Path, required=True, help="a checkpoint's directory, as `vitrine make-random` writes it")
    parser.add_argument("--ranks", default="1,2,4", help="a list that begins with 1 [1,2,4]")
    parser.add_argument("--capture", default="blocks.5.hook_resid_post", help="the site")
    parser.add_argument("--tokens", type=int, default=1 << 15, help="of the corpus [32768]")
    parser.add_argument("--length", type=int, default=128, help="tokens of a document [128]")
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    parser.add_argument("--scratch", help="a folder on the disk to write to [the system's]")
    args = parser.parse_args()
    worlds = [int(word) for word in args.ranks.split(",")]
    if worlds[0] != 1:
        parser.error(f"--ranks {args.ranks}: expected a list that begins with 1")
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        corpus = Path(scratch) / "corpus.jsonl"
        tokens = write_corpus(corpus, args.model, args.tokens, args.length)
        samples: dict[int, list[float]] = {world: [] for world in worlds}
        for _ in range(args.rounds):
            for world in worlds:
                samples[world].append(seconds(args, corpus, world))
    processors = len(os.sched_getaffinity(0))
    for world, times in samples.items():
        speedup = statistics.median(one / all_ for one, all_ in zip(samples[1], times))
        rate = tokens / statistics.median(times)
        print(f"{world} ranks: {rate:,.0f} tokens/s ({min(times):.2f} .. {max(times):.2f} s), {speedup / min(world, processors):.2f} of the ideal")


if __name__ == "__main__":
    main()
