# SPDX-License-Identifier: MIT
"""The time of a launch, and of all launches of a pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpu_time import chip, code
from gpu_time.code import Kernel
from gpu_time.kernels import Pass, Use, describe
from gpu_time.launches import Launch

OF_PROCESSOR = ("shared", "load", "store", "copy", "shuffle")  # units that its four quarters share
NAMES = {"issue": "issuing instructions", "shared": "shared memory", "alu": "integers and logic", "fma": "float32", "tensor": "tensor cores", "groups": "tensor cores",
         "special": "special functions", "load": "loads", "copy": "copies to shared memory", "store": "stores"}


@dataclass
class Prediction:
    launch: Launch
    seconds: float  # from the end of the kernel before to its own end
    alone: float  # from its start to its end, nothing before it
    limit: str
    blocks: int = 0  # of a processor
    waves: float = 0.0
    registers: int = 0
    known: bool = True
    floor_bytes: float = 0.0  # that must come from memory


LONGEST_LEAD = 2e-6  # after that all loads before the wait have arrived
WALKS: dict[tuple, code.Walk] = {}


def walked(kernel: Kernel, use: Use, lead: float, rounds: float | None = None) -> code.Walk:
    """A walk, kept: a pass has a kernel many times. `rounds`: of the loop around its products, instead of all."""
    trips = use.trips if rounds is None else use.trips | {"tensor": rounds}
    key = (id(kernel), tuple(sorted(trips.items())), round(lead, 3), use.copies_cold)
    if key not in WALKS:
        WALKS[key] = code.walk(kernel.instructions, trips, lead, use.copies_cold)
    return WALKS[key]


def after_wait(walk: code.Walk, lead: float) -> float:
    """Seconds from the end of the kernel before to that of a warp."""
    return (walk.end - max(walk.waited, lead * chip.CLOCK)) / chip.CLOCK


def busiest_unit(walk: code.Walk, use: Use, launch: Launch) -> tuple[float, str]:
    """Seconds of the unit that all blocks of the busiest processor keep busy longest."""
    warps = math.ceil(launch.blocks * use.average / chip.PROCESSORS) * math.ceil(launch.block / 32)
    uses = dict(walk.uses)
    uses["issue"] = uses.get("issue", 0) + use.more
    cycles = {unit: n * warps / (1 if unit in OF_PROCESSOR else 4) for unit, n in uses.items() if unit not in ("control", "barrier", "atomic")}
    unit = max(cycles, key=lambda name: cycles[name])
    return cycles[unit] / chip.CLOCK / use.overlap, NAMES.get(unit, unit)


def predict(kernel: Kernel, launch: Launch, use: Use, lead: float, boundary: float) -> Prediction:
    """`lead`: seconds that the kernel has already been there when the one before it ends."""
    resident = chip.blocks_per_processor(kernel.registers, launch.block, kernel.shared + launch.shared)
    if resident < 1:
        raise ValueError(f"{kernel.signature}: a block of {launch.block} threads with {kernel.registers} registers and "
                         f"{kernel.shared + launch.shared} bytes fits no processor")
    slots = resident * chip.PROCESSORS
    waves = launch.blocks / slots
    hot, cold = (walked(kernel, use, cycles) for cycles in (lead * chip.CLOCK, 0.0))
    first, around = after_wait(hot, lead), after_wait(walked(kernel, use, lead * chip.CLOCK, 1), lead)
    later = max(0.0, math.ceil(waves * use.average) - 1) * cold.end / chip.CLOCK

    def total(first: float, lead: float) -> tuple[float, str]:
        early = min(lead * chip.DRAM, hot.loads_before_wait * 512 * launch.block / 32 * min(launch.blocks, slots), use.dram)
        memory, caches = (use.dram - early) / chip.DRAM, use.l2 / chip.L2
        unit, name = busiest_unit(cold, use, launch) if use.seconds is None else (use.seconds / use.overlap, "tensor cores")
        along = first + later if use.seconds is None else 0.0
        ends = {"a warp's way": along, "its operations": use.least, name: unit, "memory": memory + (around if use.streams else 0), "L2": caches + (around if use.streams else 0)}
        limit = max(ends, key=lambda end: ends[end])
        if use.streams and limit in ("memory", "L2") and around > ends[limit] / 2:
            return ends[limit], "a warp's way"
        return ends[limit], limit
    seconds, limit = total(first, lead)
    alone, _ = total(cold.end / chip.CLOCK, 0.0)
    return Prediction(launch, boundary + seconds, alone, limit, resident, waves, kernel.registers, use.known, use.dram)


def predict_pass(at: Pass, launches: list[Launch], kernels: dict[str, Kernel]) -> list[Prediction]:
    """A kernel that may start early is there from when the one before it has begun: its weights are under way."""
    found: list[Prediction] = []
    before = 0.0
    for launch in launches:
        if launch.kernel in ("copy", "clear"):
            seconds = chip.COPY_NODE + 2 * launch.bytes / chip.DRAM
            found.append(Prediction(launch, seconds, seconds, "a node of its own"))
            before = 0.0
            continue
        kernel = kernels.get(launch.kernel)
        if kernel is None:
            raise ValueError(f"the build's machine code has no kernel {launch.kernel}")
        boundary = chip.BOUNDARY_EARLY if launch.early else chip.BOUNDARY_GRAPH
        lead = max(0.0, min(before - chip.START_EARLY, LONGEST_LEAD)) if launch.early else 0.0
        lead = round(lead, 7)  # so that walks are met again
        prediction = predict(kernel, launch, describe(at, launch), lead, boundary)
        found.append(prediction)
        before = prediction.seconds
    return found
