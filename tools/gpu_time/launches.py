# SPDX-License-Identifier: MIT
"""The launches of a pass, as tests/cuda_on_host/list_launches prints them for an emulated H200, and the models that it is run on."""

from __future__ import annotations

import json
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from gpu_time.code import demangle

VOCABULARY, CONTEXT = 50257, 1024


@dataclass(frozen=True)
class Size:
    layers: int
    width: int
    heads: int

    @property
    def inner(self) -> int:
        return 4 * self.width


SIZES = {"gpt2": Size(12, 768, 12), "gpt2-medium": Size(24, 1024, 16), "gpt2-large": Size(36, 1280, 20), "gpt2-xl": Size(48, 1600, 25)}


@dataclass
class Operation:
    """Of the backend: what it has to move and to multiply, each argument once."""

    name: str
    bytes: float = 0.0
    flops: float = 0.0


@dataclass
class Launch:
    kernel: str  # a simplified signature; "copy" or "clear" of memory
    grid: tuple[int, int, int] = (1, 1, 1)
    block: int = 0
    shared: int = 0
    early: bool = False
    cluster: int = 1  # blocks that run together
    operation: Operation = field(default_factory=lambda: Operation("none"))
    bytes: float = 0.0  # of a copy

    @property
    def blocks(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]


def tensors_of(size: Size) -> dict[str, list[int]]:
    """GPT-2's, as its checkpoints name them."""
    d, inner = size.width, size.inner
    shapes = {"wte.weight": [VOCABULARY, d], "wpe.weight": [CONTEXT, d], "ln_f.weight": [d], "ln_f.bias": [d]}
    block = {"ln_1.weight": [d], "ln_1.bias": [d], "ln_2.weight": [d], "ln_2.bias": [d], "attn.c_attn.weight": [d, 3 * d], "attn.c_attn.bias": [3 * d],
             "attn.c_proj.weight": [d, d], "attn.c_proj.bias": [d], "mlp.c_fc.weight": [d, inner], "mlp.c_fc.bias": [inner],
             "mlp.c_proj.weight": [inner, d], "mlp.c_proj.bias": [d]}
    for layer in range(size.layers):
        shapes |= {f"h.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def write_empty_model(folder: Path, size: Size) -> None:
    """A checkpoint in bf16 whose weights are a hole in the file: it takes no room, and no kernel reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "n_layer": size.layers,
              "n_head": size.heads, "n_embd": size.width, "n_positions": CONTEXT, "n_ctx": CONTEXT, "vocab_size": VOCABULARY,
              "layer_norm_epsilon": 1e-5, "bos_token_id": 50256, "eos_token_id": 50256}
    (folder / "config.json").write_text(json.dumps(config))
    entries, end = {}, 0
    for name, shape in tensors_of(size).items():
        length = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + length]}
        end += length
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + end)


def symbols_of(program: Path) -> dict[int, str]:
    """Address in the file of each function: its simplified signature."""
    lines = subprocess.run(["nm", str(program)], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split() for line in lines if len(line.split()) == 3 and line.split()[1] in "tTwW"]
    return dict(zip((int(words[0], 16) for words in found), demangle([words[2] for words in found])))


def parse_listing(text: str, symbols: dict[int, str]) -> list[Launch]:
    """The launches of one pass: of the recorded step, or after the line `pass`."""
    anchors = [address for address, name in symbols.items() if name == "cuda_on_host::usual_gpu()"]
    if not anchors:
        raise ValueError("the program that listed the launches has no function usual_gpu(): expected tests/cuda_on_host/list_launches")
    shift, launches, operations, inside = 0, [], [Operation("none")], False
    for line in text.splitlines():
        what, *words = line.split("\t")
        if what == "anchor":
            shift = int(words[0], 16) - anchors[0]
        elif what in ("record", "pass"):
            inside, launches = True, []
        elif what == "recorded":
            break
        elif what == "begin":
            operations.append(Operation(words[0], float(words[1]), float(words[2])))
        elif what == "end":
            operations.pop()
        elif inside and what == "launch":
            name = symbols.get(int(words[0], 16) - shift, "unknown")
            x, y, z, block, shared, early, cluster = map(int, words[1:])
            launches.append(Launch(name, (x, y, z), block, shared, bool(early), cluster, operations[-1]))
        elif inside and what in ("copy", "clear"):
            launches.append(Launch(what, operation=operations[-1], bytes=float(words[0])))
    if not launches:
        raise ValueError("no launch was listed")
    return launches


def launches_of(program: Path, model: Path, workload: str, batch: int, tokens: int, hooks: str) -> list[Launch]:
    done = subprocess.run([str(program), str(model), workload, str(batch), str(tokens), hooks], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"{program} failed: {done.stderr.strip().splitlines()[-1:]}")
    return parse_listing(done.stdout, symbols_of(program))
