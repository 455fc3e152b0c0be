#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Vitrine beside other programs on a CPU: greedy decoding and a prefill, float32, the same weights, in turns in one run.

    pip install . torch transformers onnx onnxruntime onnxscript openvino optimum-intel ctranslate2 gguf llama-cpp-python
    vitrine make-random /tmp/gpt2 --size gpt2 --tokenizer GPT2_TOKENIZER
    python bench/peers/cpu_peer.py --model /tmp/gpt2 --work /tmp/converted --threads 2 --out peers.json

A peer that is missing is named and left out. Each program runs in a process of its own, which does nothing while another one's turn is; a
round is one turn of each, every second one in the opposite order. A figure is the median over the rounds, and a ratio is the median of the rounds'
own ratios to Vitrine's time. Before anything counts, each program's logits after the prompt are compared with those of transformers in float64,
and each of its greedy tokens must be the best of these logits up to the tolerance.

prefill  the pass over a prompt (512 tokens) that gives the logits of its last position
decode   what N + 1 greedy tokens after a prompt of 16 take longer than one, by N

CTranslate2 needs a tokenizer beside the weights: --tokenizer of make-random copies one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import cpu_contenders
import peer

AGREE = 2e-3  # maximum difference of logits, of their largest magnitude
REST = 0.3  # seconds between turns: threads of some libraries spin as long after their work


def parse_args() -> argparse.Namespace:
    names = [one.__name__ for one in cpu_contenders.ALL]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, required=True, help="a checkpoint's directory, as `vitrine make-random` writes it"
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="a folder for what is converted; what is there already is used"
    )
    parser.add_argument("--threads", type=peer.count, default=len(os.sched_getaffinity(0)), help="of the CPU [all]")
    parser.add_argument(
        "--contenders", type=peer.list_of(names), default=names, help=f"a list of {','.join(names)} [all]"
    )
    parser.add_argument("--prompt", type=peer.count, default=512, help="tokens of the prefill [512]")
    parser.add_argument("--tokens", type=peer.count, default=32, help="tokens decoded [32]")
    parser.add_argument("--rounds", type=peer.count, default=3, help="rounds after one to warm up [3]")
    parser.add_argument("--only-convert", action="store_true", help="measure nothing")
    parser.add_argument("--commit", default="", help="what is measured [git rev-parse HEAD]")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, JSON")
    args = parser.parse_args()
    if not (args.model / "config.json").is_file():
        parser.error(f"--model {args.model}: missing config.json")
    context = json.loads((args.model / "config.json").read_text())["n_positions"]
    if max(args.prompt, 17 + args.tokens) > context:
        parser.error(f"--prompt {args.prompt} and --tokens {args.tokens} exceed the context of {context}")
    return args


def serve(one: type[cpu_contenders.Contender], model: Path, work: Path, threads: int, pipe) -> None:
    """The worker's loop: (method, arguments) in, (seconds of the clock, of the processor, result) out."""
    contender = one(model, work, threads)
    pipe.send("ready")
    while (call := pipe.recv()) is not None:
        method, arguments = call
        start, used = time.perf_counter(), time.process_time()
        result = getattr(contender, method)(*arguments)
        pipe.send((time.perf_counter() - start, time.process_time() - used, result))


class Worker:
    def __init__(self, one: type[cpu_contenders.Contender], args: argparse.Namespace) -> None:
        self.name = one.name
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(one, args.model, args.work, args.threads, theirs), daemon=True
        )
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def call(self, method: str, *arguments) -> tuple[float, float, object]:
        self.pipe.send((method, arguments))
        return self.pipe.recv()


def exact_logits(model: Path, ids: list[int], rows: int) -> np.ndarray:
    """[rows, vocabulary] of the last positions, by transformers in float64."""
    import torch
    from transformers import GPT2LMHeadModel

    with torch.no_grad():
        source = GPT2LMHeadModel.from_pretrained(model, dtype=torch.float64).eval()
        return source(torch.tensor([ids]), use_cache=False, logits_to_keep=rows).logits[0].numpy()


def check(worker: Worker, args: argparse.Namespace, prompt: list[int], start: list[int], exact: np.ndarray) -> float:
    logits = np.asarray(worker.call("logits", prompt)[2], np.float64)
    peer.require(
        logits.shape == exact.shape and bool(np.isfinite(logits).all()), f"{worker.name}: {exact.size} finite logits"
    )
    scale = float(np.abs(exact).max())
    difference = float(np.abs(logits - exact).max()) / scale
    peer.require(
        difference <= AGREE,
        f"{worker.name}: logits differ by {difference:.1e} of their largest, expected at most {AGREE}",
    )
    peer.require(int(logits.argmax()) == int(exact.argmax()), f"{worker.name}: the best token is {exact.argmax()}")
    tokens = [int(token) for token in worker.call("generate", start, args.tokens + 1)[2]]
    peer.require(
        len(tokens) == args.tokens + 1, f"{worker.name}: {args.tokens + 1} tokens were generated, not {len(tokens)}"
    )
    rows = exact_logits(args.model, start + tokens[:-1], len(tokens))
    lost = float((rows.max(axis=1) - rows[np.arange(len(tokens)), tokens]).max()) / scale
    peer.require(lost <= AGREE, f"{worker.name}: greedy tokens are the best ones")
    return difference


def turn(
    worker: Worker, args: argparse.Namespace, prompt: list[int], start: list[int]
) -> dict[str, tuple[float, float]]:
    time.sleep(REST)
    prefill = worker.call("prefill", prompt)[:2]
    first = worker.call("generate", start, 1)[:2]
    all_tokens = worker.call("generate", start, args.tokens + 1)[:2]
    return {"prefill": prefill, "decode": tuple((a - b) / args.tokens for a, b in zip(all_tokens, first))}


def figures(times: list[tuple[float, float]], ours: list[tuple[float, float]], tokens: int) -> dict:
    wall, cpu = [t[0] for t in times], [t[1] for t in times]
    median = statistics.median(wall)
    row = {
        "seconds": {"median": median, "min": min(wall), "max": max(wall), "samples": wall},
        "cpu_median": statistics.median(cpu),
        "cpu_samples": cpu,
        "tokens_per_second": tokens / median,
    }
    if ours:
        row["times_ours"] = statistics.median(t[0] / o[0] for t, o in zip(times, ours))
        row["cpu_times_ours"] = statistics.median(t[1] / o[1] for t, o in zip(times, ours))
    return row


def able(args: argparse.Namespace) -> list[type[cpu_contenders.Contender]]:
    found = []
    for one in cpu_contenders.ALL:
        if one.__name__ not in args.contenders:
            continue
        missing = [name for name in one.needs if importlib.util.find_spec(name.split(".")[0]) is None]
        if missing:
            print(f"{one.name} is left out: {', '.join(missing)} missing", flush=True)
        else:
            found.append(one)
    return found


def prepare(group: list[type[cpu_contenders.Contender]], args: argparse.Namespace) -> None:
    args.work.mkdir(parents=True, exist_ok=True)
    for one in group:
        done = args.work / f"{one.__name__}.done"
        if not done.exists():
            print(f"converting for {one.name}", flush=True)
            one.prepare(args.model, args.work)
            done.touch()


def measure(
    workers: list[Worker], args: argparse.Namespace, prompt: list[int], start: list[int]
) -> dict[str, list[dict]]:
    samples: dict[str, list[dict]] = {worker.name: [] for worker in workers}
    for number in range(args.rounds + 1):
        for worker in workers if number % 2 == 0 else workers[::-1]:
            times = turn(worker, args, prompt, start)
            if number > 0:
                samples[worker.name].append(times)
    return samples


def table(rows: list[dict]) -> str:
    """Markdown, as docs/BENCHMARKS.md has it."""
    lines = [
        "| | prefill, tokens/s | its time over ours | decode, tokens/s | its time over ours | largest difference of logits |",
        "|---|---|---|---|---|---|",
    ]
    for prefill, decode in zip(rows[::2], rows[1::2]):
        cells = [f"{prefill['program']} {prefill['version']}"]
        for row in (prefill, decode):
            seconds = row["seconds"]
            rates = [
                row["tokens_per_second"] * seconds["median"] / seconds[which] for which in ("median", "max", "min")
            ]
            cells += [
                "{:.4g} ({:.4g} .. {:.4g})".format(*rates),
                f"{row['times_ours']:.2f}" if "times_ours" in row else "",
            ]
        lines.append("| " + " | ".join([*cells, f"{prefill['difference']:.0e}"]) + " |")
    return "\n".join(lines)


def commit_of(args: argparse.Namespace) -> str:
    return (
        args.commit
        or subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
        ).stdout.strip()
    )


def main() -> None:
    args = parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read when libraries are loaded
        os.environ[name] = str(args.threads)
    group = able(args)
    prepare(group, args)
    if args.only_convert:
        return
    vocab = json.loads((args.model / "config.json").read_text())["vocab_size"]
    prompt = [i * 7919 % vocab for i in range(args.prompt)]
    start = prompt[:16]
    exact = exact_logits(args.model, prompt, 1)[0]
    workers = [Worker(one, args) for one in group]
    differences = {}
    for worker in workers:
        differences[worker.name] = check(worker, args, prompt, start, exact)
        print(f"{worker.name}: largest difference of logits {differences[worker.name]:.1e}", flush=True)
    samples = measure(workers, args, prompt, start)
    for worker in workers:
        worker.pipe.send(None)
    rows = []
    for one in group:
        for workload, tokens in (("prefill", args.prompt), ("decode", 1)):
            times = [sample[workload] for sample in samples[one.name]]
            ours = [sample[workload] for sample in samples.get(cpu_contenders.Vitrine.name, [])]
            row = figures(times, ours, tokens)
            print(
                f"{one.name:24} {workload:8} {row['tokens_per_second']:9.1f} tokens/s, {1e3 * row['seconds']['median']:8.2f} ms "
                f"({1e3 * row['seconds']['min']:.2f} .. {1e3 * row['seconds']['max']:.2f}), {row.get('times_ours', 1):.2f} x our time",
                flush=True,
            )
            rows.append(
                {
                    "program": one.name,
                    "version": one.version(),
                    "workload": workload,
                    "difference": differences[one.name],
                    **row,
                }
            )
    args.device = "cpu"
    report = {
        "commit": commit_of(args),
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        "machine": peer.machine(args),
        "threads": args.threads,
        "dtype": "f32",
        "prompt": args.prompt,
        "decoded": args.tokens,
        "rounds": args.rounds,
        "rows": rows,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + ".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(args.out)
    print(table(rows))


if __name__ == "__main__":
    main()
