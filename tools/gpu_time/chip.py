# SPDX-License-Identifier: MIT
"""What one H200 does, as constants with their source. None was measured by this project yet: the first device run replaces them.

Sources: [L] Luo and others, "Dissecting the NVIDIA Hopper Architecture through Microbenchmarking" (arXiv 2501.12084, 2402.13499);
[C] chipsandcheese.com, "Nvidia's H100: Funny L2, and Tons of Bandwidth" (2023); [H] Hazy Research, "Look Ma, No Bubbles" (2025);
[F] fast.cu's steps (P. Shankhdhar, "Outperforming cuBLAS on H100", 2024); [W] NVIDIA's H100 whitepaper and CUDA programming guide; [M] seen on an H200 through PyTorch; [E] an estimate, to be fitted first.
"""

PROCESSORS = 132  # [W]
CLOCK = 1.98e9  # [M] while memory is the limit; CLOCK_TENSOR under tensor cores, which meet the power limit
CLOCK_TENSOR = 1.46e9  # [M] 790 TFLOP/s of random bf16, over 132 x 4096 operations a cycle
TENSOR = 7.9e14  # [M] operations/s of a large product of random bf16
DRAM = 4.3e12  # [M] bytes/s, a copy's reads and writes
L2 = 7.5e12  # [E] bytes/s; [F] products in 128 x 256 tiles without multicast read about this at 700 TFLOP/s
INTO_PROCESSOR = 64  # [E] bytes a cycle that an SM takes in from L2, whichever blocks they are for as well
L2_BYTES = 50e6  # [W]
RESIDENT = 30e6  # [E] activations of at most this size are found in L2 by the next kernel

# Cycles until a result can be used.
LATENCY_L2 = 273  # [L]
LATENCY_DRAM = 900  # [C] 478 at rest; under load and across both halves of L2 [E]
LATENCY_SHARED = 30  # [L]
LATENCY_SHUFFLE = 24  # [L]
LATENCY_ALU = 5  # [L] 4 to 5
LATENCY_WIDE = 16  # [L] double precision
LATENCY_SPECIAL = 18  # [E] reciprocals, exponentials, conversions, special registers, constants
LATENCY_TENSOR = 33  # [L] m16n8k16
LATENCY_GROUP = 33  # [E] of a warp group's product, after its cycles
LATENCY_BARRIER = 30  # [E]
LATENCY_ATOMIC = 600  # [E] there and back, and a fence

# Cycles of its unit that an instruction of a warp takes: of a quarter of a processor, but for SHARED and GLOBAL: of a whole one.
RATE_ALU = 2  # [W] 16 lanes
RATE_FMA = 1  # [W] 32 lanes
RATE_SPECIAL = 8  # [W] 4 lanes
RATE_WIDE = 2  # [W] 16 lanes
RATE_SHARED = 1  # [W] 128 bytes a cycle: 1 for 4 bytes a lane, 4 for 16
RATE_TENSOR = 6.4  # [L] mma.sync reaches 62 to 65 % of wgmma's rate, which takes 4 for 16 x 8 x 16
RATE_GROUP = 2048  # [W] products of two numbers in a cycle of a warp group's instruction, which keeps all four quarters busy
OVERLAP = 0.75  # [E] of the busiest unit's rate is reached where blocks are in step with barriers
OVERLAP_HOPPER = 0.92  # [E] ... where a warp copies and two groups multiply

# Seconds between the end of a kernel and the first instruction of the next.
BOUNDARY_GRAPH = 1.3e-6  # [H] a dummy kernel in a graph
BOUNDARY_EARLY = 0.6e-6  # [E] griddepcontrol.wait: the last block's end, its flush, the release
BOUNDARY_ISSUED = 2.1e-6  # [H] a dummy kernel in a stream
START_EARLY = 0.7e-6  # [E] from the trigger until the next kernel's first instruction
COPY_NODE = 1.6e-6  # [E] a small copy or memset in a graph

REGISTERS, WARPS, BLOCKS, SHARED = 65536, 64, 32, 228 * 1024  # [W] of a processor


def blocks_per_processor(registers: int, threads: int, shared: int) -> int:
    """How many blocks a processor holds; registers go by 256 a warp, warps over four quarters. `shared` has the system's own 1024 bytes, as
    cuobjdump reports them."""
    if threads < 1 or threads > 1024 or registers < 1 or registers > 255:
        raise ValueError(f"invalid block: {threads} threads of {registers} registers")
    warps = -(-threads // 32)
    of_warp = -(-registers * 32 // 256) * 256
    by_registers = REGISTERS // 4 // of_warp * 4 // warps
    by_shared = SHARED // max(shared, 1024)
    return min(by_registers, by_shared, WARPS // warps, BLOCKS)
