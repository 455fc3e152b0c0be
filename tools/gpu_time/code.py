# SPDX-License-Identifier: MIT
"""The machine code of kernels: what cuobjdump prints of it, and one warp's way through it."""

from __future__ import annotations

import math
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from gpu_time import chip

LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.x]*)\s*([^;]*);")
REGISTER = re.compile(r"\bR(\d+)\b(\.64)?")
TARGET = re.compile(r"0x[0-9a-f]+\s*$")


@dataclass
class Instruction:
    address: int
    conditional: bool
    name: str  # HMMA.16816.F32.BF16
    operands: str
    target: int | None = None  # of a branch
    unit: str = ""
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()


@dataclass
class Kernel:
    signature: str
    registers: int = 0
    shared: int = 0  # bytes, known to the compiler
    instructions: list[Instruction] = field(default_factory=list)


UNITS = {  # the first word of an instruction: what computes it
    "shared": "LDS STS LDSM STSM ATOMS".split(),
    "shuffle": "SHFL REDUX".split(),
    "load": "LDG LD LDL".split(),
    "store": "STG ST STL".split(),
    "copy": "LDGSTS".split(),
    "atomic": "ATOM ATOMG RED MEMBAR".split(),
    "tensor": ["HMMA"],
    "groups": ["HGMMA"],
    "barrier": "BAR WARPSYNC".split(),
    "special": "MUFU F2F F2I I2F F2FP I2FP FRND S2R S2UR LDC ULDC POPC FLO BREV".split(),
    "wide": "DADD DMUL DFMA DSETP DMNMX".split(),
    "fma": "FADD FMUL FFMA IMAD HFMA2 HADD2 HMUL2".split(),
    "control": "BRA EXIT BSSY BSYNC BRX CALL RET NOP YIELD DEPBAR LDGDEPBAR ACQBULK PREEXIT CCTL ERRBAR".split(),
}
UNIT_OF = {name: unit for unit, names in UNITS.items() for name in names}


def unit_of(name: str) -> str:
    """What computes an instruction; the integer and logic unit if it is none of the others."""
    first = name.split(".")[0]
    return "alu" if name.startswith(("F2FP", "I2FP")) else UNIT_OF.get(first, "alu")


def words_of(name: str) -> int:
    """Registers that a load or store of this name moves."""
    return 4 if ".128" in name else 2 if ".64" in name else 1


def registers_of(name: str, unit: str, operands: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Registers read, registers written: what has several in a row is known by the instruction."""
    parts = [part.strip() for part in operands.split(",")]
    if unit in ("shuffle", "atomic") and len(parts) > 1 and parts[0].startswith("P"):
        parts = parts[1:]  # SHFL.BFLY PT, R4, R5, ...
    if unit in ("store", "copy", "barrier", "control") or not parts or name.startswith(("STS", "STSM")):
        width = words_of(name) if unit == "store" or name.startswith("STS") else 1
        reads = [int(m[1]) + i for part in parts for m in REGISTER.finditer(part) for i in range(2 if m[2] else width if "[" not in part else 1)]
        return tuple(reads), ()
    first = REGISTER.match(parts[0])
    written = {"tensor": 4, "load": words_of(name), "wide": 2}.get(unit, 1)
    if name.startswith("LDSM"):
        written = 4 if ".4" in name else 2
    elif name.startswith("LDS"):
        written = words_of(name)
    elif ".WIDE" in name or name.endswith(".64"):
        written = 2
    writes = tuple(int(first[1]) + i for i in range(written)) if first else ()
    lengths = [4, 2, 4] if unit == "tensor" and "16816" in name or "1688" in name else []
    reads: list[int] = []
    for i, part in enumerate(parts[1:] if first else parts):
        for m in REGISTER.finditer(part):
            length = lengths[i] if i < len(lengths) else 2 if m[2] or unit == "wide" else 1
            reads += [int(m[1]) + n for n in range(length)]
    return tuple(reads), writes


def parse_instruction(line: str) -> Instruction | None:
    found = LINE.search(line)
    if not found:
        return None
    address, predicate, name, operands = int(found[1], 16), found[2], found[3], found[4].strip()
    unit = unit_of(name)
    target = None
    if name.startswith("BRA"):
        at = TARGET.search(operands)
        target = int(at[0], 16) if at else None
    conditional = bool(predicate) or (name.startswith("BRA") and "," in operands)
    return Instruction(address, conditional, name, operands, target, unit, *registers_of(name, unit, operands))


def parse_code(text: str, wanted: set[str] | None = None) -> dict[str, list[Instruction]]:
    """What `cuobjdump -sass` prints: mangled name to instructions; of the wanted kernels, or of all."""
    kernels: dict[str, list[Instruction]] = {}
    current: list[Instruction] | None = None
    for line in text.splitlines():
        if "Function : " in line:
            name = line.split("Function : ")[1].strip()
            current = kernels.setdefault(name, []) if wanted is None or name in wanted else None
        elif current is not None and (instruction := parse_instruction(line)):
            current.append(instruction)
    return kernels


def parse_resources(text: str) -> dict[str, tuple[int, int]]:
    """What `cuobjdump --dump-resource-usage` prints: mangled name to registers and shared bytes."""
    found = re.findall(r"Function (\S+):\s+REG:(\d+) .*?SHARED:(\d+)", text)
    return {name: (int(registers), int(shared)) for name, registers, shared in found}


def simplify(signature: str) -> str:
    """A demangled signature without its namespaces and result, so that the host's and the device's agree."""
    text = re.sub(r"\(anonymous namespace\)::|<unnamed>::|_GLOBAL__N__\w+::|vitrine::|internal::|cuda::", "", signature)
    text = re.sub(r"\((?:int|bool|long|unsigned int)\)(\d+)", r"\1", text)
    text = re.sub(r"\btrue\b", "1", re.sub(r"\bfalse\b", "0", text))
    return text.removeprefix("void ").replace(" >", ">").replace(" *", "*").strip()


def demangle(names: list[str]) -> list[str]:
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return [simplify(line) for line in done.stdout.splitlines()]


def read_objects(cuobjdump: str, objects: list[Path], architecture: str, wanted: set[str]) -> dict[str, Kernel]:
    """The wanted kernels of object files, by their simplified signature."""
    kernels: dict[str, Kernel] = {}
    for path in objects:
        def output(option: str, path: Path = path) -> str:
            return subprocess.run([cuobjdump, option, "-arch", architecture, str(path)], capture_output=True, text=True, check=False).stdout
        resources = parse_resources(output("--dump-resource-usage"))
        here = {mangled: signature for mangled, signature in zip(resources, demangle(list(resources))) if signature in wanted}
        code = parse_code(output("-sass"), set(here)) if here else {}
        for mangled, instructions in code.items():
            kernels[here[mangled]] = Kernel(here[mangled], *resources[mangled], instructions)
    return kernels


@dataclass
class Walk:
    """One warp's way: when it was released by the kernel before, when it ended, how often each unit was used."""

    waited: float = 0.0  # cycles from its start to griddepcontrol.wait, as issued
    end: float = 0.0
    uses: dict[str, float] = field(default_factory=dict)  # cycles of each unit; "issue": instructions
    loads_before_wait: int = 0


def latency(instruction: Instruction, cold: bool) -> float:
    table = {"shared": chip.LATENCY_SHARED, "shuffle": chip.LATENCY_SHUFFLE, "tensor": chip.LATENCY_TENSOR, "special": chip.LATENCY_SPECIAL,
             "wide": chip.LATENCY_WIDE, "atomic": chip.LATENCY_ATOMIC, "load": chip.LATENCY_DRAM if cold else chip.LATENCY_L2}
    return table.get(instruction.unit, chip.LATENCY_ALU)


def cost(instruction: Instruction) -> float:
    """Cycles of its unit."""
    unit, name = instruction.unit, instruction.name
    if unit == "tensor":
        return chip.RATE_TENSOR
    if unit == "groups":
        return math.prod(map(int, name.split(".")[1].split("x"))) / chip.RATE_GROUP
    if unit in ("shared", "load", "store", "copy", "shuffle"):
        wide = 4 if name.startswith("LDSM") else words_of(name)
        return chip.RATE_SHARED * wide
    return {"alu": chip.RATE_ALU, "fma": chip.RATE_FMA, "special": chip.RATE_SPECIAL, "wide": chip.RATE_WIDE}.get(unit, 1)


def loops_of(code: list[Instruction]) -> dict[int, tuple[int, int]]:
    """Index of a branch back: the first and last index of its loop. Branches back from a warp-wide operation's way for warps that are not
    together, which stands after the kernel's end, are none."""
    at = {instruction.address: i for i, instruction in enumerate(code)}
    loops = {}
    for i, instruction in enumerate(code):
        if not instruction.conditional and any(c.name == "WARPSYNC.COLLECTIVE" for c in code[max(0, i - 40):i]):
            continue
        if instruction.target is not None and instruction.target < instruction.address and instruction.target in at:
            loops[i] = (at[instruction.target], i)
    return loops


def outermost(loops: dict[int, tuple[int, int]], kinds: dict[int, str], back: int) -> bool:
    """Whether a loop is in none of its own kind: a number of rounds is meant for that one."""
    first, last = loops[back]
    return not any(kinds[other] == kinds[back] and begin <= first and last < end for other, (begin, end) in loops.items() if other != back)


def kind_of_loop(code: list[Instruction], loop: tuple[int, int]) -> str:
    units = {instruction.unit for instruction in code[loop[0]:loop[1] + 1]}
    return next((unit for unit in ("tensor", "groups", "copy", "load", "shared", "store") if unit in units), "other")


def takes(code: list[Instruction], at: dict[int, int], i: int, spent: set[str], avoided: Callable[[int, int], bool]) -> bool:
    """Whether a branch forward with a condition is taken: over an exit. Of an `if` with an `else` the side that uses tensor cores is, or the one
    with wide accesses; an `if` alone is entered, but for what a unit whose use is spent would do, and for a wait before the one that all come to.
    avoided(begin, end): whether that stretch of the code holds what this launch does not do."""
    branch = code[i]
    other = at.get(branch.target, 0)
    if other <= i or branch.name.startswith("BRA.DIV"):  # the latter is for warps that are not together
        return False
    inside = code[i + 1:other]
    if inside and inside[0].name == "EXIT" and not inside[0].conditional:
        return True
    if any(c.name.startswith("ACQBULK") for c in inside) and any(c.name.startswith("ACQBULK") for c in code[other:]):
        return True
    if avoided(i + 1, other):
        return True
    units = {instruction.unit for instruction in inside} & {"tensor", "groups", "copy", "load", "store", "shared"}
    if units and units <= spent:
        return True
    last = inside[-1] if inside else branch
    end = at.get(last.target, 0) if last.target is not None and not last.conditional else 0
    if end <= other:
        return False
    def worth(region: list[Instruction]) -> tuple[int, int]:
        return (sum(c.unit in ("tensor", "groups") for c in region), sum(".128" in c.name for c in region))
    return worth(code[other:end]) > worth(inside)


class Trip:
    """Which instruction comes next: the loops and branches of a walk."""

    def __init__(self, code: list[Instruction], trips: dict[str, float]) -> None:
        self.code, self.trips = code, trips
        self.at = {instruction.address: i for i, instruction in enumerate(code)}
        self.loops = loops_of(code)
        self.kinds = {back: kind_of_loop(code, loop) for back, loop in self.loops.items()}
        self.rounds: dict[int, float] = {}
        self.used: dict[str, int] = {}

    def is_last_round(self, i: int) -> bool:
        """Whether an instruction in a loop has no later round to load for."""
        around = [back for back, (first, _) in self.loops.items() if first <= i < back and self.kinds[back] == "tensor"]
        return all(self.rounds.get(back, self.trips.get("tensor", 1)) < 2 for back in around)

    def spent(self) -> set[str]:
        return {unit for unit, most in self.trips.items() if unit.endswith("s at most") and self.used.get(unit[:-9], 0) >= most}

    def avoided(self, begin: int, end: int) -> bool:
        """Whether [begin, end) holds a whole loop of a kind that goes round 0 times, or an atomic operation or one in double precision where
        there are 0."""
        if any(self.trips.get(c.unit) == 0 for c in self.code[begin:end] if c.unit in ("atomic", "wide")):
            return True
        return any(self.trips.get(self.kinds[back]) == 0 and begin <= first and back < end for back, (first, _) in self.loops.items())

    def next(self, i: int) -> int:
        """The index after that of i; -1 at the end."""
        instruction = self.code[i]
        self.used[instruction.unit] = self.used.get(instruction.unit, 0) + 1
        spent = {unit[:-9] for unit in self.spent()}
        if (instruction.name == "EXIT" and not instruction.conditional) or self.used.get("barrier", 0) >= self.trips.get("last barrier", math.inf):
            return -1
        if i in self.loops:
            kind, first = self.kinds[i], self.loops[i][0]
            most = self.trips.get(kind, 1) if outermost(self.loops, self.kinds, i) else 1
            self.rounds[i] = self.rounds.get(i, max(1.0, most)) - 1
            if kind == "tensor" and most > 1:
                self.used.clear()  # what is spent is meant of one round
            endless = kind + "s at most" in self.trips and kind not in spent
            if self.rounds[i] >= 1 or endless:
                return first
            del self.rounds[i]
            if instruction.conditional:
                return i + 1
            out = [c.target for c in self.code[first:i] if c.target is not None and c.target > instruction.address]
            return self.at.get(out[0], i + 1) if out else -1  # the way out is a branch from the middle
        if instruction.target in self.at and (not instruction.conditional or takes(self.code, self.at, i, spent, self.avoided)):
            return self.at[instruction.target]
        return i + 1


def walk(code: list[Instruction], trips: dict[str, float], lead: float = 0.0, copies_cold: bool = False) -> Walk:
    """In order, an instruction a cycle at most, each when its operands are there. A loop goes round as often as `trips` says of its kind,
    once otherwise, and is passed over if that is 0; "shareds at most" is how many instructions of that unit a round has, "last barrier" the number of the one it ends at. `lead`: cycles after the start when the kernel
    before has ended; loads before the wait come from memory, later ones from L2."""
    trip = Trip(code, trips)
    has_wait = any(instruction.name.startswith("ACQBULK") for instruction in code)
    ready: dict[int, float] = {}
    groups: list[float] = [0.0]  # when each group of copies has arrived
    products = 0.0  # when a warp group's products are there
    result, now, i, waited = Walk(), 0.0, 0, not has_wait
    while 0 <= i < len(code) and result.uses.get("issue", 0) < 1_000_000:
        instruction = code[i]
        unit = instruction.unit
        now = 1 + max([now] + [ready.get(r, 0.0) for r in instruction.reads])
        result.uses["issue"] = result.uses.get("issue", 0) + 1
        result.uses[unit] = result.uses.get(unit, 0) + cost(instruction)
        if instruction.name.startswith("ACQBULK"):
            result.waited, waited = now, True
            now = max(now, lead)
        elif unit == "copy":
            groups[-1] = max(groups[-1], now + (chip.LATENCY_DRAM if copies_cold or not waited else chip.LATENCY_L2))
        elif unit == "groups":
            products = max(products, now) + cost(instruction)
        elif instruction.name.startswith("WARPGROUP.DEPBAR"):
            now = max(now, products + chip.LATENCY_GROUP)
        elif instruction.name.startswith("LDGDEPBAR"):
            groups.append(0.0)
        elif instruction.name.startswith("DEPBAR"):
            pending = TARGET.search(instruction.operands)
            done = groups[:len(groups) - 1 - (int(pending[0], 16) if pending else 0)]
            now = max([now, *done])
        elif unit == "barrier":
            now += chip.LATENCY_BARRIER
        elif instruction.writes:
            streams = unit == "load" and (not waited or ".NA" in instruction.name)  # weights come from memory
            result.loads_before_wait += unit == "load" and not waited
            if not (streams and waited and instruction.conditional and trip.is_last_round(i)):
                for r in instruction.writes:
                    ready[r] = now + latency(instruction, streams)
        i = trip.next(i)
    result.end = max([now, *groups])
    return result
