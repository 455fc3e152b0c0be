# SPDX-License-Identifier: MIT
"""What the peers share: options, the prompt, timing, and the file that `vitrine bench --baseline` reads.

The peers need PyTorch and what each names at its top, all from PyPI. A run of both sides on the same weights:

    vitrine make-random /tmp/gpt2 --size gpt2
    python bench/peers/transformers_peer.py --model /tmp/gpt2 --threads 2 --out peer.json
    vitrine bench --model /tmp/gpt2 --threads 2 --workload forward,prefill,decode,saliency --baseline peer.json

Workloads, shapes and sets of hooks have the names of `vitrine bench`, and the prompt is its own: token i of sequence s is
(i + 17 s) 7919 modulo the vocabulary.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import torch

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
IG_POINTS = 8  # of the row "IG 8 points"


def list_of(known: list[str]) -> Callable[[str], list[str]]:
    """The type of an option that is a list of known words."""
    def parse(text: str) -> list[str]:
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"unknown '{word}': expected a comma-separated list of {','.join(known)}")
        return words
    return parse


def counts(text: str) -> list[int]:
    values = [int(word) for word in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError("expected integers >= 1")
    return values


def count(text: str) -> int:
    return counts(text)[0]


def parse_args(description: str, workloads: list[str], hooks: list[str], compiles: bool = False, static: bool = False, rows: bool = False) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a checkpoint's directory, as `vitrine make-random` writes it")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="f32", choices=DTYPES, help="how weights and activations are kept [f32]")
    parser.add_argument("--threads", type=count, default=len(os.sched_getaffinity(0)), help="of the CPU [all]")
    parser.add_argument("--workload", type=list_of(workloads), default=workloads, help=f"a list of {','.join(workloads)} [all]")
    parser.add_argument("--hooks", type=list_of(hooks), default=hooks, help=f"what forward keeps, a list of {','.join(hooks)} [all]")
    parser.add_argument("--batch", type=counts, default=[1], help="sequences, a list [1]")
    parser.add_argument("--prompt", type=count, default=128, help="tokens of a forward pass [128]")
    parser.add_argument("--decode-prompt", type=count, default=16, help="tokens before the first decoded one [16]")
    parser.add_argument("--tokens", type=count, default=16, help="tokens decoded in one measurement [16]")
    parser.add_argument("--repeat", type=count, default=5, help="measurements of each kind after one to warm up [5]")
    if rows:
        parser.add_argument("--rows", type=counts, default=[1, 64, 1024], help="rows of a matrix product, a list [1,64,1024]")
    if compiles:
        parser.add_argument("--compile", action="store_true", help="put torch.compile around the model")
    if static:
        parser.add_argument("--static", action="store_true", help="decode into a static cache by a compiled step")
    parser.add_argument("--out", required=True, help="the file to write, JSON")
    args = parser.parse_args()
    if not (Path(args.model) / "config.json").is_file():
        parser.error(f"--model {args.model}: missing config.json")
    config = json.loads((Path(args.model) / "config.json").read_text())
    longest = max(args.prompt, args.decode_prompt + args.tokens)
    if longest > config["n_positions"]:
        parser.error(f"{longest} tokens exceed the context of {config['n_positions']}: use smaller --prompt or --tokens")
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: PyTorch finds no GPU")
    args.vocab = config["vocab_size"]
    torch.set_num_threads(args.threads)
    return args


def some_tokens(args: argparse.Namespace, batch: int, length: int) -> torch.Tensor:
    """[batch, length] token ids, those of `vitrine bench`."""
    rows = [[(i + 17 * s) * 7919 % args.vocab for i in range(length)] for s in range(batch)]
    return torch.tensor(rows, device=args.device)


def require(holds: bool, what: str) -> None:
    """A figure counts only if its result was checked."""
    if not holds:
        sys.exit(f"a check failed, so all measurements are invalid: {what}")


def require_finite(values: torch.Tensor, what: str) -> None:
    require(bool(torch.isfinite(values).all()), f"{what} are finite")


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def machine(args: argparse.Namespace) -> dict:
    facts = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "cpu": cpu_name(), "cores": os.cpu_count(),
             "load": Path("/proc/loadavg").read_text().strip(), "python": platform.python_version(), "torch": torch.__version__}
    if args.device != "cpu":
        facts["gpu"] = torch.cuda.get_device_name(args.device)
    return facts


@dataclass
class Report:
    """Rows as they come, printed and in the end written."""
    peer: str  # "transformers 5.23.0"
    args: argparse.Namespace
    rows: list[dict] = field(default_factory=list)

    def seconds_of(self, work: Callable[[], object]) -> float:
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        if self.args.device != "cpu":
            torch.cuda.synchronize(self.args.device)

    def measure(self, workload: str, shape: str, hooks: str | None, work: Callable[[], object]) -> None:
        """One row: how long `work` takes."""
        self.measure_by(workload, shape, hooks, lambda: self.seconds_of(work))

    def measure_by(self, workload: str, shape: str, hooks: str | None, seconds: Callable[[], float]) -> None:
        seconds()  # to warm up
        samples = [seconds() for _ in range(self.args.repeat)]
        median = statistics.median(samples)
        cpu = self.args.device == "cpu"
        self.rows.append({"model": self.args.model, "dtype": self.args.dtype, "device": self.args.device, "threads": self.args.threads if cpu else None,
                          "workload": workload, "shape": shape, "hooks": hooks,
                          "seconds": {"median": median, "min": min(samples), "max": max(samples), "count": len(samples), "samples": samples}})
        print(f"{self.peer}  {workload} {shape}  {hooks or ''}  {1e3 * median:.3f} ms ({1e3 * min(samples):.3f} .. {1e3 * max(samples):.3f})", flush=True)

    def write(self) -> None:
        out = Path(self.args.out)
        part = out.with_name(out.name + ".part")
        part.write_text(json.dumps({"peer": self.peer, "machine": machine(self.args), "rows": self.rows}, indent=1) + "\n")
        part.replace(out)


def forward_shape(batch: int, length: int) -> str:
    return f"{batch} x {length} tokens"


def decode_shape(batch: int, length: int) -> str:
    return f"batch {batch} after {length}"


def saliency_shape(batch: int, length: int, what: str) -> str:
    return f"{batch} x {length} {what}"


def measure_decode(report: Report, batch: int, generate: Callable[[torch.Tensor, int], torch.Tensor],
                   next_tokens: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """A decoded step, as `vitrine bench` has it: what N + 1 tokens take longer than one, by N. `generate(ids, n)` gives n greedy tokens
    [batch, n]; `next_tokens(ids)` the greedy token of each sequence [batch] by one pass over all of it, to check the first by."""
    args = report.args
    ids = some_tokens(args, batch, args.decode_prompt)
    found = generate(ids, args.tokens + 1)
    seen = ids
    for i in range(min(3, args.tokens)):
        best = next_tokens(seen)
        require(torch.equal(best, found[:, i]), "decoded tokens are those of a pass over everything")
        seen = torch.cat([seen, best[:, None]], dim=1)

    def step() -> float:
        first = report.seconds_of(lambda: generate(ids, 1))
        return (report.seconds_of(lambda: generate(ids, args.tokens + 1)) - first) / args.tokens
    report.measure_by("decode", decode_shape(batch, args.decode_prompt), "none", step)
