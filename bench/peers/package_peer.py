#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python package beside TransformerLens 3 and nnsight: the same weights, threads and prompts, in turns in one process.

    pip install . torch transformers "transformer_lens<4" nnsight     # a peer that is missing is named and left out
    vitrine make-random /tmp/gpt2 --size gpt2
    python bench/peers/package_peer.py --model /tmp/gpt2 --threads 1 --out package.json

Each round does each workload once with each contender; a figure is the median over the rounds, and a ratio is the median of the rounds'
own ratios. Processor seconds and their ratio stand beside them: with one thread they are the quiet machine's, where others press.
Before that every result is compared with the package's. Workloads:

everything       a pass, its logits, and every site that TransformerLens caches (nnsight: the outputs of the modules)
one_site         the residual stream after one block in the middle, where the pass stops
decode           greedy tokens after 16 while a hook halves that site: here a declared edit
decode_function  the same, here by a Python function as it is there
attribution      attribution patching of hook_resid_pre: a pass, another with its backward pass, and the products
short_prompts    that site of 1,000 prompts of 4 to 24 tokens: one batch here; padded batches of 50 there

vitrine.transformer_lens does TransformerLens's calls. "TransformerLens, all names" caches everything to read the one site, and takes short prompts one by one. Also measured: a call of
model.run with one token of a tiny model, and imports.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2LMHeadModel

import package_contenders as contenders
import peer
import vitrine

WORKLOADS = ["everything", "one_site", "decode", "decode_function", "attribution", "short_prompts"]
AGREE = 2e-4  # maximum difference, of the largest magnitude of the site


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a checkpoint's directory, as `vitrine make-random` writes it")
    parser.add_argument("--threads", type=peer.count, default=len(os.sched_getaffinity(0)), help="of the CPU [all]")
    parser.add_argument("--workload", type=peer.list_of(WORKLOADS), default=WORKLOADS, help=f"a list of {','.join(WORKLOADS)} [all]")
    parser.add_argument("--prompt", type=peer.count, default=128, help="tokens of a pass [128]")
    parser.add_argument("--tokens", type=peer.count, default=32, help="tokens decoded [32]")
    parser.add_argument("--short", type=peer.count, default=1000, help="short prompts [1000]")
    parser.add_argument("--rounds", type=peer.count, default=5, help="rounds after one to warm up [5]")
    parser.add_argument("--out", required=True, help="the file to write, JSON")
    args = parser.parse_args()
    if not (Path(args.model) / "config.json").is_file():
        parser.error(f"--model {args.model}: missing config.json")
    if args.prompt < 16:
        parser.error(f"--prompt {args.prompt}: expected at least 16, which is what decoding begins with")
    return args


def work_of(args: argparse.Namespace, source: GPT2LMHeadModel) -> contenders.Work:
    draw = random.Random(1)
    vocab, layers = source.config.vocab_size, source.config.n_layer
    ids = [i * 7919 % vocab for i in range(args.prompt)]
    corrupt = list(ids)
    corrupt[args.prompt // 2] = 3 % vocab
    prompts = [[draw.randrange(vocab) for _ in range(draw.randint(4, 24))] for _ in range(args.short)]
    skipped = ("hook_result", "hook_q_input", "hook_k_input", "hook_v_input", "hook_attn_in", "hook_mlp_in")  # off by default there
    names = [site["name"].format(layer=layer)
             for site in vitrine.sites() if site["name"] != "logits" and not site["name"].endswith(skipped)
             for layer in range(layers if site["per_layer"] else 1)]
    return contenders.Work(ids, corrupt, prompts, args.tokens, 11 % vocab, 12 % vocab, layers // 2, names)


def compare(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """Largest difference of any array, relative to the largest magnitude of that array. -inf, a masked score, must be in the same places."""
    worst = 0.0
    for name, value in found.items():
        other = expected[name]
        if value.shape != other.shape:
            sys.exit(f"{name} has shape {value.shape}, and {other.shape} here")
        finite = np.isfinite(other)
        peer.require(bool((np.isfinite(value) == finite).all()), f"{name} is finite in the same places")
        scale = np.abs(other[finite]).max()
        worst = max(worst, float(np.abs(value[finite].astype(np.float64) - other[finite]).max() / scale))
    return worst


def seconds(work) -> tuple[float, float]:
    """On the clock, and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def ratio(times: list[tuple[float, float]], ours: list[tuple[float, float]], which: int) -> float:
    return statistics.median(t[which] / o[which] for t, o in zip(times, ours))


def measure(workload: str, group: list, rounds: int) -> dict:
    """Rounds in turns. group[0] is the package."""
    able = [one for one in group if getattr(one, workload) is not None]
    results = [one.arrays(workload, getattr(one, workload)()) for one in able]
    differences = {one.name: compare(result, results[0]) for one, result in zip(able, results)}
    for name, difference in differences.items():
        peer.require(difference <= AGREE, f"{workload} of {name} agrees: {difference:.1e}, expected at most {AGREE}")
    del results
    samples: dict[str, list[tuple[float, float]]] = {one.name: [] for one in able}
    for turn in range(rounds):
        for one in able if turn % 2 == 0 else able[::-1]:
            samples[one.name].append(seconds(getattr(one, workload)))
    ours, row = samples[able[0].name], {}
    for name, times in samples.items():
        wall, cpu = [t[0] for t in times], [t[1] for t in times]
        row[name] = {"median": statistics.median(wall), "min": min(wall), "max": max(wall), "cpu_median": statistics.median(cpu), "samples": wall,
                     "cpu_samples": cpu, "ratio": ratio(times, ours, 0), "cpu_ratio": ratio(times, ours, 1), "difference": differences[name]}
        print(f"{workload:16} {name:27} {1e3 * row[name]['median']:8.1f} ms ({1e3 * min(wall):.1f} .. {1e3 * max(wall):.1f}), ratio {row[name]['ratio']:.2f}; "
              f"processor {1e3 * row[name]['cpu_median']:.1f} ms, ratio {row[name]['cpu_ratio']:.2f}; difference {differences[name]:.1e}", flush=True)
    return row


def call_overhead() -> dict:
    """Microseconds of the processor of model.run with one token: the pass itself, and what Python adds, together."""
    model = vitrine.Model.random(vitrine.Config(layers=1, heads=1, width=8, vocab=16, context=8), threads=1)
    plan = model.compile(capture="blocks.0.hook_resid_post")
    ids = [1]
    found = {}
    for name, call in (("run", lambda: model.run(ids)), ("run, one site", lambda: model.run(ids, capture="blocks.0.hook_resid_post")),
                       ("run with a plan", lambda: model.run(ids, plan=plan))):
        times = [seconds(lambda: [call() for _ in range(1000)])[1] for _ in range(9)]
        found[name] = {"median_us": 1e3 * statistics.median(times), "min_us": 1e3 * min(times)}
        print(f"{name:24} {found[name]['median_us']:.1f} us of the processor a call, least {found[name]['min_us']:.1f}")
    return found


def imports() -> dict:
    found = {}
    for module in ("numpy", "vitrine"):
        code = f"import time; t = time.perf_counter(), time.process_time(); import {module}; print(time.perf_counter() - t[0], time.process_time() - t[1])"
        runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() for _ in range(7)]
        wall, cpu = [float(run[0]) for run in runs], [float(run[1]) for run in runs]
        found[module] = {"median": statistics.median(wall), "min": min(wall), "cpu_median": statistics.median(cpu), "cpu_min": min(cpu)}
        print(f"import {module:17} {1e3 * found[module]['median']:.0f} ms, least {1e3 * min(wall):.0f}; processor {1e3 * statistics.median(cpu):.0f}, least {1e3 * min(cpu):.0f}")
    return found


def main() -> None:
    args = parse_args()
    if os.environ.get("OMP_NUM_THREADS") != str(args.threads):  # all the threads of all contenders; it is read when libraries are loaded
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    torch.set_num_threads(args.threads)
    source = GPT2LMHeadModel.from_pretrained(args.model, dtype=torch.float32).eval()
    work = work_of(args, source)
    group: list = [one(args.model, args.threads, work, source) for one in (contenders.Vitrine, contenders.DropIn)]
    versions = {"vitrine": vitrine.__version__}
    for package, classes in contenders.ALL.items():
        if importlib.util.find_spec(package) is None:
            print(f"{package} is missing: left out (pip install {package})")
            continue
        group += [one(args.model, args.threads, work, source) for one in classes]
        versions[package] = classes[0].version()
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    args.device = "cpu"
    report = {"versions": versions, "machine": peer.machine(args), "threads": args.threads, "rounds": args.rounds,
              "workloads": {name: measure(name, group, args.rounds) for name in args.workload}, "call": call_overhead(), "import": imports()}
    out = Path(args.out)
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(out)


if __name__ == "__main__":
    main()
