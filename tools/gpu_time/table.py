# SPDX-License-Identifier: MIT
"""The tables of predictions: passes against floors and targets, kernels of each pass, what the misses would need."""

from __future__ import annotations

from gpu_time import chip
from gpu_time.kernels import ELEMENT, Pass
from gpu_time.launches import VOCABULARY

# Times the floor, of PERFORMANCE: decoding a row, a pass over 8 x 1024 tokens.
DECODE_TARGETS = {"gpt2": 1.8, "gpt2-medium": 1.4, "gpt2-large": 1.25, "gpt2-xl": 1.15}
FORWARD_TARGETS = {"gpt2": 1.7, "gpt2-xl": 1.35}
CAPTURE_TARGET = 1.03  # times the pass without

CLOSES = {"a warp's way": "fewer dependent steps between its first load and its last store, or its loads under way before the wait",
          "memory": "more bytes under way: loads before the wait, no gap between a block's last load and the next block's first",
          "L2": "larger tiles, or operands shared by blocks", "tensor cores": "fuller tiles and waves, warp-group instructions",
          "shared memory": "operands read less often: larger tiles of a warp, warp-group instructions", "a node of its own": "a second destination of a kernel"}


def floor(at: Pass) -> float:
    """Seconds: the parameters read once, or the products at full rate; keys and values of decoding, logits of a pass."""
    d, layers = at.size.width, at.size.layers
    blocks, table = layers * 12 * d * d, VOCABULARY * d
    # biases 9 D and layer norms 4 D a layer, the final one, the positions that are read
    parameters = blocks + layers * 13 * d + 2 * d + table + d * (1 if at.workload == "decode" else at.tokens)
    if at.workload == "decode":
        data = ELEMENT * (parameters + at.batch * 2 * layers * at.tokens * d)
        work = at.batch * (2 * (blocks + table) + layers * (at.tokens + 1) * 4 * d)
    else:
        data = ELEMENT * parameters + 4 * at.rows * VOCABULARY
        work = at.rows * 2 * (blocks + table) + at.batch * layers * at.tokens * (at.tokens + 1) / 2 * 4 * d
    return max(data / chip.DRAM, work / chip.TENSOR)


def target_of(p: dict) -> float | None:
    if p["hooks"] != "none":
        return None
    if p["workload"] == "decode":
        return DECODE_TARGETS.get(p["size"]) if p["batch"] == 1 and p["tokens"] < 100 else None
    return FORWARD_TARGETS.get(p["size"]) if p["batch"] == 8 else None


def summary_line(p: dict, plain: dict[tuple, float]) -> str:
    ratio, target = p["ms"] / p["floor_ms"], target_of(p)
    if p["hooks"] != "none":
        without = plain[p["size"], p["workload"], p["batch"], p["tokens"]]
        verdict = f"{p['ms'] / without:.3f} x without; target {CAPTURE_TARGET}: {'met' if p['ms'] <= CAPTURE_TARGET * without else 'missed'}"
    else:
        verdict = "" if target is None else f"{target} x: {'met' if ratio <= target else 'missed'}"
    return f"| {p['name']} | {p['launches']} | {p['ms']:.3f} | {p['floor_ms']:.3f} | {ratio:.2f} | {verdict} |"


def kernel_lines(p: dict) -> list[str]:
    lines = [f"### {p['name']}: {p['ms']:.3f} ms *(predicted)*", "",
             "| kernel | grid | times | us each | alone | us in all | floor | limited by | registers, blocks a processor, waves |", "|---" * 9 + "|"]
    for row in p["kernels"]:
        each = row["us"] / row["launches"]
        sign = "" if row["known"] else " (as written)"
        lines.append(f"| `{row['short']}`{sign} | {row['grid']} | {row['launches']} | {each:.2f} | {row['alone_us']:.2f} | {row['us']:.1f} | {row['floor_us']:.1f} | "
                     f"{row['limit']} | {row['registers']}, {row['resident']}, {row['waves']} |")
    return [*lines, ""]


def miss_lines(p: dict) -> list[str]:
    """The kernels that have most to give, and the boundaries between kernels."""
    boundaries = p["launches"] * chip.BOUNDARY_EARLY * 1e3
    over = sorted(p["kernels"], key=lambda row: row["floor_us"] - row["us"])[:4]
    lines = [f"- **{p['name']}** is {p['ms'] - p['floor_ms']:.3f} ms over its floor, of which the boundaries of its {p['launches']} launches take {boundaries:.3f}."]
    for row in over:
        excess = row["us"] - row["floor_us"]
        lines.append(f"  - `{row['short']}` {row['grid']}, {row['launches']} x: {excess:.1f} us over its own floor, limited by {row['limit']}; "
                     f"what helps: {CLOSES.get(row['limit'], 'fewer instructions')}.")
    return lines


def markdown(predictions: list[dict]) -> str:
    plain = {(p["size"], p["workload"], p["batch"], p["tokens"]): p["ms"] for p in predictions if p["hooks"] == "none"}
    def missed(p: dict) -> bool:
        target = target_of(p)
        return target is not None and p["ms"] > target * p["floor_ms"]
    lines = ["# Predicted times on one H200", "",
             "*Predicted*, not measured: no GPU has run any of this. `python3 tools/gpu_model.py --build build --out docs/PREDICTED.md` writes this page",
             "from the machine code for sm_90a and the launches that the engine makes; weights in bf16, `--gemm exact`. Hold it against the first measurement",
             "with `--predicted` and `--measured`. \"us each\" is what a launch adds to the pass, the wait for the kernel before it included; \"alone\" is from its",
             "start to its end with nothing before it, as a profiler shows it. \"As written\" marks kernels whose loops are taken once. Constants and their",
             "sources: `tools/gpu_time/chip.py`. Expect single kernels to be off by a third; the order of what limits them is the point.", "",
             "| pass | launches | predicted ms | floor ms | x floor | target |", "|---" * 6 + "|"]
    lines += [summary_line(p, plain) for p in predictions]
    lines += ["", "## What the missed targets would need", ""]
    for p in predictions:
        if missed(p):
            lines += miss_lines(p)
    lines += ["", "## Kernel by kernel", ""]
    for p in predictions:
        lines += kernel_lines(p)
    return "\n".join(lines)
