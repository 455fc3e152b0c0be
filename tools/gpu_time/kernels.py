# SPDX-License-Identifier: MIT
"""What a launch does that neither its machine code nor its operation tells: how often its loops go round, what it reads again and again.

Each entry is chosen by the kernel's signature. A kernel without one is taken as it is written: its loops once, its operation's bytes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Callable

from gpu_time import chip
from gpu_time.launches import VOCABULARY, Launch, Size

ELEMENT = 2  # bytes: predictions are of bf16
PART = 256  # inputs that are summed apart
KEYS = 64  # of a tile of attention
GELU = 37  # instructions of an element's activation, counted in the machine code
MASKING, SCALING = 85, 33  # instructions of 16 queries and a tile of attention, counted in the machine code
FINISH, FINISH_GELU = 12, 42  # ... of all that becomes of an element of a Hopper product


@dataclass(frozen=True)
class Pass:
    """What is predicted: a step of decoding, or a pass over prompts."""

    size: Size
    workload: str  # decode or forward
    batch: int
    tokens: int
    hooks: str = "none"

    @property
    def rows(self) -> int:
        return self.batch if self.workload == "decode" else self.batch * self.tokens


@dataclass
class Use:
    dram: float = 0.0  # bytes
    l2: float = 0.0  # bytes, those from DRAM included
    trips: dict[str, float] = field(default_factory=dict)  # see code.walk
    average: float = 1.0  # a block's work, as a share of the longest's
    streams: bool = False  # its bytes follow the longest way of a warp, rather than run beside it
    copies_cold: bool = False  # its asynchronous copies come from DRAM
    more: float = 0.0  # instructions of a warp that no walk meets
    overlap: float = chip.OVERLAP
    seconds: float | None = None  # of tensor cores, where the walk cannot follow roles of warps
    least: float = 0.0  # seconds of its operations at the full rate
    known: bool = True


def arguments(signature: str) -> list[str]:
    """The template's, the outermost."""
    inside = re.search(r"<(.*?)>\(", signature)
    return re.split(r", (?![^<]*>)", inside[1]) if inside else []


def products_of(at: Pass, launch: Launch) -> list[tuple[int, int]]:
    """Inputs and outputs of the matrix products of a pass that have this many operations: one, or the two of an MLP."""
    d, product = at.size.width, launch.operation.flops / (2 * at.rows)
    shapes = [(d, 3 * d), (d, d), (d, at.size.inner), (at.size.inner, d), (d, VOCABULARY)]
    found = [s for s in shapes if abs(s[0] * s[1] / max(product, 1) - 1) < 0.01]
    if not found:
        raise ValueError(f"{launch.kernel}: {launch.operation.name} has {launch.operation.flops:.0f} operations, which no matrix product of the pass has")
    return found


def shape_of(at: Pass, launch: Launch, columns: int) -> tuple[int, int]:
    """... whose outputs are nearest to the columns of its grid."""
    return min(products_of(at, launch), key=lambda s: abs(s[1] - columns))


def shape_by_bytes(at: Pass, launch: Launch) -> tuple[int, int]:
    """... of a kernel whose grid does not tell. An MLP's first product moves 10 bytes a row and channel, neurons being kept in 16 bits; its
    second 16: neurons, and the residual stream in float32, read and written."""
    found = products_of(at, launch)
    activations = (launch.operation.bytes - ELEMENT * found[0][0] * found[0][1]) / (at.rows * at.size.width)
    return found[0] if len(found) == 1 or activations < 13 else found[1]


def from_memory(activations: float) -> float:
    """Bytes of activations that are no longer in L2."""
    return activations if activations > chip.RESIDENT else 0.0


def linear_bytes(at: Pass, launch: Launch, inputs: int, outputs: int) -> float:
    weights = ELEMENT * inputs * outputs
    return weights + from_memory(max(0.0, launch.operation.bytes - weights))


def few_rows(at: Pass, launch: Launch) -> Use:
    """A block has 8 outputs at a time, a warp a part of their inputs; with fewer blocks than that, and fewer warps, they go round."""
    warps = launch.block // 32

    def fits(inputs: int) -> bool:
        parts = math.ceil(inputs / PART)
        return parts <= warps < parts + 1 or (parts > warps and math.ceil(parts / math.ceil(parts / warps)) == warps)
    inputs, outputs = min((s for s in products_of(at, launch)), key=lambda s: (not fits(s[0]), abs(s[1] - 8 * launch.grid[0])))
    parts = math.ceil(inputs / PART)
    groups = math.ceil(outputs / 8)
    rounds = math.ceil(groups / launch.grid[0]) * math.ceil(parts / warps)
    again = min(groups, launch.grid[0]) * at.rows * inputs * ELEMENT
    trips: dict[str, float] = {"tensor": rounds, "shared": math.ceil(min(parts, warps) / 4)}  # the parts' sums are added four at a time
    if launch.shared >= (2 + at.rows) * inputs * 4:  # with their layernorm: its weights and the rows in float32
        items = at.rows * min(math.ceil(inputs / 128), 8)  # warps of the rows' own blocks; two items of a warp at a time
        trips["shared"] = max(trips["shared"], math.ceil(items / warps / 2))
    else:
        trips["wide"] = 0
    return Use(linear_bytes(at, launch, inputs, outputs), again + ELEMENT * inputs * outputs, trips, streams=True)


def many_rows(at: Pass, launch: Launch) -> Use:
    row_warps, column_warps, row_tiles, column_tiles = map(int, re.findall(r"Tiling<(\d+), (\d+), (\d+), (\d+)", launch.kernel)[0])
    rows, columns = 16 * row_warps * row_tiles, 8 * column_warps * column_tiles
    inputs, outputs = shape_of(at, launch, columns * launch.grid[1])
    steps = min(math.ceil(inputs / 64), 4) if launch.grid[2] > 1 else math.ceil(inputs / 64)
    elements = rows * columns / launch.block
    has_activation = outputs == at.size.inner
    return Use(linear_bytes(at, launch, inputs, outputs), launch.blocks * steps * 64 * ELEMENT * (rows + columns),
               {"tensor": steps, "load": elements / 4}, more=elements * GELU if has_activation else 0.0)


def hopper(at: Pass, launch: Launch) -> Use:
    """A block a processor walks over tiles of 128 rows. While one is multiplied, 7 warps, of which a quarter of the processor has at most two,
    finish the one before, an instruction in two cycles each. Two blocks of a cluster have tiles below or beside each other, and read what these
    share once: the form is the one that reads less."""
    columns = int(next((a for a in arguments(launch.kernel) if a.isdigit()), 192))
    inputs, outputs = shape_by_bytes(at, launch)

    def tiles_and_bytes(high: int, wide: int) -> tuple[float, int]:
        tiles = math.ceil(at.rows / (128 * high)) * math.ceil(outputs / (columns * wide)) * high * wide
        return tiles * inputs * ELEMENT * (128 / wide + columns / high), tiles
    from_l2, tiles = min(tiles_and_bytes(high, launch.cluster // high) for high in range(1, launch.cluster + 1))
    products = 2 * 128 * columns * inputs / 4096  # cycles, at 4096 operations a processor
    epilogue = 2 * 128 * columns / 32 / 7 * (FINISH_GELU if outputs == at.size.inner else FINISH)
    into_processor = inputs * ELEMENT * (128 + columns) / chip.INTO_PROCESSOR
    cycles = math.ceil(tiles / launch.blocks) * max(products, into_processor, epilogue) + epilogue
    return Use(linear_bytes(at, launch, inputs, outputs), from_l2, overlap=chip.OVERLAP_HOPPER, seconds=cycles / chip.CLOCK_TENSOR)


def attention_bytes(at: Pass) -> float:
    """Keys and values of a layer."""
    return 2 * at.batch * at.tokens * at.size.width * ELEMENT


def attend_many(at: Pass, launch: Launch) -> Use:
    """Hopper's kernel has a loop for the tiles that all queries of a block see, and one for the last two. The portable one has one: the walk meets
    what masks a tile in each, and most have none. Both walks meet what scales scores by other factors than powers of two."""
    tiles, blocks = math.ceil(at.tokens / KEYS), launch.grid[1]
    read = at.size.heads * at.batch * sum(math.ceil(tiles * (i + 1) / blocks) for i in range(blocks))
    masked = 2 * tiles / (tiles + 1)  # for each that a warp masks: a block's average length is so much shorter than its longest
    if launch.kernel.startswith("hopper"):
        masked *= 1.5  # one group of warps has one tile in the second loop, the other two
        trips: dict[str, float] = {"groups": max(1, tiles - masked), "tensor": masked, "tensors at most": 0, "shareds at most": 4}
        walked_over = SCALING * tiles
    else:
        trips, walked_over = {"tensor": tiles}, 2 * (SCALING * tiles + MASKING * (tiles - masked))
    return Use(from_memory(2 * attention_bytes(at)), read * 2 * KEYS * 64 * ELEMENT, trips, average=(tiles + 1) / 2 / tiles, more=-walked_over)


def attend_few(at: Pass, launch: Launch) -> Use:
    tiles = math.ceil((at.tokens + 8) / KEYS)
    idle = launch.blocks - at.batch * at.size.heads * tiles  # leave at once
    # One query: no scan of values, no further new tokens. Of several tiles the last block joins 8 at a time.
    trips = {"shared": 0, "atomic": 0, "load": 0} if tiles == 1 else {"shared": 0, "load": math.ceil(tiles / 8)}
    return Use(attention_bytes(at), attention_bytes(at), trips, average=1 - max(0, idle) / launch.blocks, streams=True, copies_cold=True)


def layernorm(at: Pass, launch: Launch) -> Use:
    return Use(from_memory(launch.operation.bytes), launch.operation.bytes)


def append(at: Pass, launch: Launch) -> Use:
    return Use(from_memory(launch.operation.bytes), launch.operation.bytes, {"load": math.ceil(min(at.rows, 32) / 4)})


def sample(at: Pass, launch: Launch) -> Use:
    logits = at.batch * VOCABULARY * 4
    rounds = math.ceil(VOCABULARY / launch.block / launch.grid[1] / 2)
    return Use(0.0, logits, {"load": rounds, "last barrier": 3})  # greedy: the highest of a row is all


def advance(at: Pass, launch: Launch) -> Use:
    return Use(0.0, 0.0, {"load": 0 if at.rows <= launch.block else 1})


def maps(at: Pass, launch: Launch) -> Use:
    written = at.batch * at.size.heads * at.tokens * at.tokens * 4
    return Use(written + attention_bytes(at), written + attention_bytes(at), average=0.5)


DESCRIPTIONS: list[tuple[str, Callable[[Pass, Launch], Use]]] = [
    (r"^few_rows_kernel<", few_rows),
    (r"^many_rows_kernel<", many_rows),
    (r"^hopper_linear<", hopper),
    (r"^attend<.*float\*", attend_few),
    (r"^(hopper_)?attend<", attend_many),
    (r"^layernorm_row<", layernorm),
    (r"^append<", append),
    (r"^sample_rows\(", sample),
    (r"^advance\(", advance),
    (r"^write<.*\(AttentionArgs, BatchView\)", maps),
]


def describe(at: Pass, launch: Launch) -> Use:
    for pattern, description in DESCRIPTIONS:
        if re.search(pattern, launch.kernel):
            return description(at, launch)
    return Use(from_memory(launch.operation.bytes), launch.operation.bytes, least=launch.operation.flops / chip.TENSOR, known=False)
