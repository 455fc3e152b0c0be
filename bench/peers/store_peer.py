#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rows of one site for those who train on them, beside SAELens's ActivationsStore: the same weights, tokens, threads and buffer, in turns.

    pip install . torch transformers datasets "transformer_lens<4" sae-lens
    vitrine make-random /tmp/gpt2 --size gpt2
    python bench/peers/store_peer.py --model /tmp/gpt2 --threads 2 --out store.json

SAELens   ActivationsStore over TransformerLens 3, token ids in memory, batches from its mixing buffer
live      vitrine.shards.live with a buffer of the same size
disk      vitrine.capture_corpus of the tokens to a folder, then all of its rows in shuffled batches
read      the second half of that alone

Each round takes --tokens rows from each source, and begins with an empty buffer; a figure is the median over the rounds, a ratio the median
of the rounds' own ratios. Processor seconds and their ratio stand beside them: with one thread they are the quiet machine's, where others
press. Before that the rows of one context are compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from sae_lens.training.activations_store import ActivationsStore
from transformers import GPT2LMHeadModel

import package_contenders as contenders
import peer
import vitrine
from vitrine import shards

AGREE = 2e-4  # of the largest magnitude


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a checkpoint's directory, as `vitrine make-random` writes it")
    parser.add_argument("--threads", type=peer.count, default=len(os.sched_getaffinity(0)), help="of the CPU [all]")
    parser.add_argument("--context", type=peer.count, default=128, help="tokens of a sequence [128]")
    parser.add_argument("--tokens", type=peer.count, default=1 << 14, help="rows taken from each source in a round [16384]")
    parser.add_argument("--rows", type=peer.count, default=1024, help="rows of a batch [1024]")
    parser.add_argument("--buffer", type=peer.count, default=32, help="sequences in the buffer that is shuffled [32]")
    parser.add_argument("--prompts", type=peer.count, default=16, help="sequences of a pass, on both sides [16]")
    parser.add_argument("--layer", type=int, help="of the site, blocks.LAYER.hook_resid_post [the one in the middle]")
    parser.add_argument("--rounds", type=peer.count, default=5, help="rounds after one to warm up [5]")
    parser.add_argument("--scratch", help="a folder on the disk to write to [the system's]")
    parser.add_argument("--out", required=True, help="the file to write, JSON")
    args = parser.parse_args()
    if not (Path(args.model) / "config.json").is_file():
        parser.error(f"--model {args.model}: missing config.json")
    if args.tokens % args.rows or args.tokens % args.context:
        parser.error(f"--tokens {args.tokens}: expected a multiple of --rows and --context")
    return args


class Sources:
    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        self.args, self.scratch = args, scratch
        source = GPT2LMHeadModel.from_pretrained(args.model, dtype=torch.float32).eval()
        vocab, layers = source.config.vocab_size, source.config.n_layer
        layer = layers // 2 if args.layer is None else args.layer
        work = contenders.Work([], [], [[0]], 0, 0, 0, layer, [])
        self.site, self.width = work.site, source.config.n_embd
        self.theirs = contenders.TransformerLens(args.model, args.threads, work, source).model
        self.ours = vitrine.Model.load(args.model, threads=args.threads)
        draw = np.random.Generator(np.random.PCG64(1))
        self.ids = draw.integers(vocab, size=(args.tokens // args.context, args.context)).tolist()
        self.dataset = datasets.Dataset.from_dict({"tokens": self.ids})
        self.corpus = scratch / "corpus.jsonl"
        self.corpus.write_text("".join(json.dumps({"ids": ids}) + "\n" for ids in self.ids))

    def store(self) -> ActivationsStore:
        args = self.args
        return ActivationsStore(
            model=self.theirs, dataset=self.dataset, streaming=False, hook_name=self.site, hook_head_index=None, context_size=args.context,
            d_in=self.width, n_batches_in_buffer=args.buffer, total_training_tokens=args.tokens, store_batch_size_prompts=args.prompts,
            train_batch_size_tokens=args.rows, prepend_bos=False, normalize_activations="none", device=torch.device("cpu"), dtype="float32")

    def check(self) -> float:
        """Largest difference of a context's rows, relative to the largest magnitude."""
        expected = self.store().get_activations(torch.tensor(self.ids[:1])).numpy().reshape(-1, self.width)
        found = self.ours.run(self.ids[0], capture=self.site, logits="none")[self.site]
        return float(np.abs(found - expected).max() / np.abs(expected).max())

    def take(self, source) -> None:
        rows = 0
        for batch in source:
            rows += len(batch)
            if rows >= self.args.tokens:
                break
        peer.require(rows == self.args.tokens, f"{self.args.tokens} rows were taken: {rows}")

    def sae_lens(self) -> None:
        self.take(self.store())

    def live(self) -> None:
        args = self.args
        with shards.live(self.ours, itertools.cycle(self.ids), self.site, rows=args.rows, buffer_rows=args.buffer * args.context,
                         batch_tokens=args.prompts * args.context, tensors=True) as source:
            self.take(source)

    def capture(self) -> None:
        shutil.rmtree(self.scratch / "acts", ignore_errors=True)
        vitrine.capture_corpus(self.ours, self.corpus, self.scratch / "acts", capture=self.site, batch_tokens=self.args.prompts * self.args.context)

    def read(self) -> None:
        acts = shards.open(self.scratch / "acts")
        self.take(acts.batches(self.site, rows=self.args.rows, buffer_rows=self.args.buffer * self.args.context, tensors=True))

    def disk(self) -> None:
        self.capture()
        self.read()


def seconds(work) -> tuple[float, float]:
    """On the clock, and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def times_of_sae_lens(samples: dict, name: str, which: int) -> float:
    return statistics.median(theirs[which] / ours[which] for theirs, ours in zip(samples["SAELens"], samples[name], strict=True))


def measure(sources: Sources) -> dict:
    works = {"SAELens": sources.sae_lens, "live": sources.live, "disk": sources.disk, "read": sources.read}
    for work in works.values():
        work()
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(sources.args.rounds):
        for name, work in works.items():
            samples[name].append(seconds(work))
    found = {}
    for name in samples:
        times, used = ([sample[which] for sample in samples[name]] for which in (0, 1))
        median, rate = statistics.median(times), sources.args.tokens / statistics.median(times)
        ratio, cpu_ratio = (times_of_sae_lens(samples, name, which) for which in (0, 1))
        found[name] = {"median": median, "samples": times, "cpu_samples": used, "rows_per_second": rate, "times_sae_lens": ratio, "cpu_times_sae_lens": cpu_ratio}
        print(f"{name:8} {1e3 * median:9.1f} ms ({1e3 * min(times):.1f} .. {1e3 * max(times):.1f}), {rate:10,.0f} rows/s, {ratio:.2f} x SAELens; "
              f"processor {1e3 * statistics.median(used):.1f} ms, {cpu_ratio:.2f} x", flush=True)
    return found


def main() -> None:
    args = parse_args()
    if os.environ.get("OMP_NUM_THREADS") != str(args.threads):  # read when libraries are loaded
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    torch.set_num_threads(args.threads)
    versions = {name: importlib.metadata.version(name) for name in ("sae_lens", "transformer_lens", "torch")} | {"vitrine": vitrine.__version__}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    args.device = "cpu"
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        sources = Sources(args, Path(scratch))
        difference = sources.check()
        peer.require(difference <= AGREE, f"the rows agree: {difference:.1e}, expected at most {AGREE}")
        found = measure(sources)
    options = {name: getattr(args, name) for name in ("model", "threads", "context", "tokens", "rows", "buffer", "prompts", "rounds")}
    report = {"versions": versions, "machine": peer.machine(args), **options, "site": sources.site, "difference": difference, "sources": found}
    out = Path(args.out)
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(out)


if __name__ == "__main__":
    main()
