#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What tensor cores add, by MMA-Sim, for tests/cuda_on_host/fused_sum_test. Needs: pip install torch mmasim

Writes tests/goldens/tensor_core.txt, a line a case: generation, type, then in hexadecimal the bits of the accumulator, of the left and the
right operand along K, and of the result.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from mmasim.nv_ptx import MMA

OUT = Path(__file__).resolve().parent.parent / "tests" / "goldens" / "tensor_core.txt"
KINDS = {"f16": ("m16n8k16.f32.f16.f16.f32", torch.float16, 16), "bf16": ("m16n8k16.f32.bf16.bf16.f32", torch.bfloat16, 16),
         "tf32": ("m16n8k8.f32.tf32.tf32.f32", torch.float32, 8)}


def operand(kind: str, draw: random.Random, spread: float, zeros: float) -> torch.Tensor:
    _, dtype, depth = KINDS[kind]
    values = [0.0 if draw.random() < zeros else draw.gauss(0.0, 1.0) * 2.0 ** draw.uniform(-spread, spread) for _ in range(depth)]
    return torch.tensor(values, dtype=torch.float32).clamp(-60000, 60000).to(dtype)


def bits(x: torch.Tensor) -> str:
    view = x.view(torch.int16) if x.dtype != torch.float32 else x.view(torch.int32)
    width = 4 if x.dtype != torch.float32 else 8
    return " ".join(format(int(v) & (16**width - 1), f"0{width}x") for v in view.flatten())


def main() -> None:
    draw = random.Random(20251110)
    lines = []
    for generation in ("Ampere", "Hopper"):
        for kind, (shape, dtype, _) in KINDS.items():
            unit = MMA(generation, shape)
            # spread of the exponents, share of zeros, size of the accumulator
            for spread, zeros, size in [(0, 0, 1), (0, 0, 0), (4, 0, 1), (8, 0.3, 100), (14, 0.5, 1e-3), (2, 1, 1e-40), (1, 0.2, 3e4), (0, 0, 1e7)]:
                for _ in range(5):
                    left, right = operand(kind, draw, spread, zeros), operand(kind, draw, spread, zeros)
                    if kind == "bf16" and spread == 14:  # where 16 bits reach as far as float32
                        left *= 2.0**80
                        right *= 2.0**-80
                    c = torch.tensor([draw.gauss(0.0, size)], dtype=torch.float32)
                    result = unit.dpa(left[None, :], right[None, :], c)
                    lines.append(f"{generation} {kind} {bits(c)} {bits(left)} {bits(right)} {bits(result)}")
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{OUT}: {len(lines)} cases")


if __name__ == "__main__":
    main()
