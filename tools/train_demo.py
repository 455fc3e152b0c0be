#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains the bundled demo model: a small GPT-2 on synthetic sentences and public-domain prose.

Stop it and run it again with the same --work: it goes on where it was. The learning rate follows the
progress towards --steps, or towards --minutes of the process's own running time, so either can be
changed when a run is taken up again.

    python tools/train_demo.py --corpus children.txt.xz --work /tmp/demo --out models/demo --minutes 60
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

# Threads that spin while they wait take the time of those that work, on a machine that is shared.
# OpenMP reads this once, when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

import demo_data
from demo_model import GPT2, Config, save_pretrained
from demo_optim import Optimizer

PAUSE_SECONDS = 20.0  # a step that took longer was stopped from outside: it counts as this long


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True,
                        help="prose, .xz; documents separated by a line <|endoftext|>")
    parser.add_argument("--out", type=Path, default=Path("models/demo"), help="where the model is written")
    parser.add_argument("--work", type=Path, required=True, help="where checkpoints are kept")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="total number of training steps")
    length.add_argument("--minutes", type=float, default=60.0, help="total training time in minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--tokens-per-step", type=int, default=3072)
    parser.add_argument("--synthetic", type=float, default=0.4, help="share of synthetic tokens")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak rate of the embeddings, biases and norms")
    parser.add_argument("--matrix-lr", type=float, default=0.02, help="peak rate of the blocks' matrices")
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--decay", type=float, default=0.6, help="last share of the run, in which the rate falls to 0")
    parser.add_argument("--export-only", action="store_true", help="write the last checkpoint's model and stop")
    parser.add_argument("--save-every", type=float, default=120.0, help="seconds between checkpoints")
    return parser.parse_args()


def load_rows(args: argparse.Namespace, config: Config) -> demo_data.Rows:
    """The training rows; the tokenizer and the encoded prose are made once and kept."""
    tokenizer, prose = args.work / "tokenizer.json", args.work / "prose.npy"
    if not (tokenizer.exists() and prose.exists()):
        documents, _ = demo_data.prose(args.corpus)
        if not tokenizer.exists():
            demo_data.train_tokenizer(documents, config.vocab_size, args.seed).save(str(tokenizer))
        np.save(prose, demo_data.encode(Tokenizer.from_file(str(tokenizer)), documents))
    return demo_data.Rows(Tokenizer.from_file(str(tokenizer)), np.load(prose), config.n_positions, args.seed)


def rate(step: int, progress: float, warmup: int, decay: float) -> float:
    """Share of the peak learning rate: up, level, then straight down to 0."""
    return min(1.0, (step + 1) / warmup, max(0.0, (1 - progress) / decay))


def backward(model: GPT2, rows: list[Tensor]) -> list[float]:
    """Gradients of the mean loss over all the tokens of a step's blocks of rows; each block's own loss."""
    total = sum(block[:, 1:].numel() for block in rows)
    losses = []
    for block in rows:
        targets = block[:, 1:].reshape(-1)
        loss = F.cross_entropy(model(block[:, :-1]).flatten(0, 1), targets)
        (loss * (targets.numel() / total)).backward()
        losses.append(loss.item())
    return losses


def save_checkpoint(path: Path, state: dict[str, object]) -> None:
    temporary = path.with_suffix(".new")
    torch.save(state, temporary)
    temporary.replace(path)  # at no time is there half a checkpoint


class Stop:
    """Set by SIGTERM and SIGINT: the step in hand is finished and saved."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, number: int, frame: object) -> None:
        self.asked = True


def train(args: argparse.Namespace, model: GPT2, rows: demo_data.Rows) -> dict[str, float]:
    optimizer = Optimizer(model, args.lr, args.matrix_lr)
    path = args.work / "checkpoint.pt"
    step, seconds, tokens = 0, 0.0, 0
    if path.exists():
        state = torch.load(path, map_location=args.device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        # Rows are drawn from (seed, step); this is for whatever else draws from torch's generator.
        torch.set_rng_state(state["rng"].cpu())
        step, seconds, tokens = state["step"], state["seconds"], state["tokens"]
        print(f"going on from step {step}", flush=True)
    saved, stop = time.monotonic(), Stop()
    while True:
        progress = step / args.steps if args.steps else seconds / (60 * args.minutes)
        done = progress >= 1 or stop.asked
        if done or time.monotonic() - saved > args.save_every:
            saved = time.monotonic()
            save_checkpoint(path, {
                "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
                "seconds": seconds, "tokens": tokens, "rng": torch.get_rng_state()})
        if done:
            return {"steps": step, "minutes": seconds / 60, "tokens": tokens}
        begin = time.monotonic()
        blocks = [torch.from_numpy(b).long().to(args.device)
                  for b in rows.step(step, args.tokens_per_step, args.synthetic)]
        losses = backward(model, blocks)
        scale = rate(step, progress, args.warmup, args.decay)
        norm = optimizer.step(scale)
        step, tokens = step + 1, tokens + sum(b[:, 1:].numel() for b in blocks)
        took = time.monotonic() - begin
        seconds += min(took, PAUSE_SECONDS)
        if step % 10 == 0:
            print(f"step {step} progress {progress:.3f} rate {scale:.3f} prose {losses[0]:.3f} "
                  f"synthetic {losses[1]:.3f} gradient {norm:.2f} step seconds {took:.2f} "
                  f"tokens {tokens}", flush=True)


def main() -> None:
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = GPT2(Config()).to(args.device)
    if args.export_only:
        state = torch.load(args.work / "checkpoint.pt", map_location=args.device)
        model.load_state_dict(state["model"])
    else:
        rows = load_rows(args, model.config)
        print(f"{len(rows.prose)} tokens of prose, {len(rows.begins)} beginnings", flush=True)
        print(train(args, model, rows), flush=True)
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    save_pretrained(model, tokenizer.token_to_id(demo_data.END), args.out)
    tokenizer.save(str(args.out / "tokenizer.json"))


if __name__ == "__main__":
    main()
