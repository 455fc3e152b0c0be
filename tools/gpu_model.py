#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Predicts the time of each kernel of a pass on one H200, from the compiled code and from the launches that the engine makes.

    cmake --build build --target list_launches vitrine_cuda_objects
    python3 tools/gpu_model.py --build build --json predicted.json --out docs/PREDICTED.md
    python3 tools/gpu_model.py --predicted predicted.json --measured profile.csv --bench check_second.json

Machine code is read by cuobjdump (of the toolkit, or of the package nvidia-cuda-cuobjdump of PyPI, which needs nvidia-cuda-nvdisasm): registers,
shared memory, and one warp's way through it. The launches are those of the engine itself on an emulated H200 that runs none of them
(tests/cuda_on_host/list_launches). The constants and their sources are in tools/gpu_time/chip.py, what no code tells in kernels.py beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from gpu_time import chip, code, compare, kernels, launches, table, time

PASSES = [("decode", 1, 16, "none"), ("decode", 1, 16, "residual"), ("decode", 1, 960, "none"), ("decode", 8, 16, "none"), ("decode", 64, 16, "none"),
          ("forward", 1, 1024, "none"), ("forward", 8, 1024, "none")]


def find_cuobjdump(given: str) -> str:
    found = shutil.which(given) or shutil.which("cuobjdump", path="/usr/local/cuda/bin")
    if not found:
        raise ValueError(f"{given} is not there: install nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm and give its path, --cuobjdump PATH")
    return found


def short_name(signature: str) -> str:
    """Without the parameters' types, as tables show it; attention's two kernels are told apart."""
    name = re.sub(r"\(.*\)$", "", signature).replace("Tiling", "")
    if name.startswith("attend<"):
        name = ("few." if "float*" in signature else "many.") + name
    return name


def pass_name(at: kernels.Pass, size: str) -> str:
    what = f"decode, {at.batch} row{'s' if at.batch > 1 else ''} after {at.tokens}" if at.workload == "decode" else f"forward, {at.batch} x {at.tokens}"
    return f"{size}: {what}" + (f", {at.hooks} captured" if at.hooks != "none" else "")


def rows_of(predictions: list[time.Prediction]) -> list[dict]:
    """Equal launches of a pass together, in the order in which they first come."""
    groups: dict[tuple, dict] = {}
    for p in predictions:
        grid = ",".join(map(str, p.launch.grid))
        key = (p.launch.kernel, grid, p.launch.operation.flops)
        row = groups.setdefault(key, {"kernel": p.launch.kernel, "short": short_name(p.launch.kernel), "grid": grid, "operation": p.launch.operation.name,
                                      "registers": p.registers, "resident": p.blocks, "waves": round(p.waves, 2), "limit": p.limit, "known": p.known,
                                      "launches": 0, "us": 0.0, "alone_us": p.alone * 1e6, "floor_us": 0.0})
        row["launches"] += 1
        row["us"] += p.seconds * 1e6
        row["floor_us"] += max(p.floor_bytes / chip.DRAM, p.launch.operation.flops / chip.TENSOR) * 1e6
    return list(groups.values())


def launches_of_size(name: str, program: Path) -> list[tuple[str, kernels.Pass, list[launches.Launch]]]:
    with tempfile.TemporaryDirectory() as work:
        model, size = Path(work) / name, launches.SIZES[name]
        launches.write_empty_model(model, size)
        return [(name, kernels.Pass(size, *what), launches.launches_of(program, model, *what)) for what in PASSES]


def predict_pass(name: str, at: kernels.Pass, listed: list[launches.Launch], found: dict[str, code.Kernel]) -> dict:
    predictions = time.predict_pass(at, listed, found)
    return {"size": name, "name": pass_name(at, name), "workload": at.workload, "batch": at.batch, "tokens": at.tokens, "hooks": at.hooks,
            "ms": sum(p.seconds for p in predictions) * 1e3, "floor_ms": table.floor(at) * 1e3, "launches": len(predictions),
            "kernels": rows_of(predictions)}


def predict(args: argparse.Namespace) -> list[dict]:
    program = args.build / "tests" / "cuda_on_host" / "list_launches"
    objects = sorted((args.objects or args.build / "kernels" / "cuda").rglob("*.cu.o"))
    for needed, target in ((program.exists(), "list_launches"), (objects, "vitrine_cuda_objects")):
        if not needed:
            raise ValueError(f"{args.build} has no {target}: build it with CUDA on, cmake --build {args.build} --target {target}")
    cuobjdump = find_cuobjdump(args.cuobjdump)
    passes = [of_pass for name in args.size for of_pass in launches_of_size(name, program)]
    wanted = {launch.kernel for _, _, listed in passes for launch in listed}
    found = code.read_objects(cuobjdump, objects, args.architecture, wanted)
    if not found:
        raise ValueError(f"{args.build} has no machine code for {args.architecture}: expected a build with VITRINE_CUDA_ARCHITECTURES=90a-real")
    return [predict_pass(*of_pass, found) for of_pass in passes]


def show_comparison(args: argparse.Namespace) -> None:
    predictions = json.loads(args.predicted.read_text())
    if args.bench:
        print("\n".join(compare.compare_passes(predictions, args.bench.read_text())))
    if args.measured:
        rows = [row for p in predictions if p["size"] == args.size[0] and p["workload"] == args.workload for row in p["kernels"]]
        if not rows:
            raise ValueError(f"{args.predicted} predicts no {args.workload} of {args.size[0]}")
        print("\n".join(compare.compare_kernels(rows, compare.parse_measured(args.measured.read_text()))))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"), help="build folder with CUDA on")
    parser.add_argument("--objects", type=Path, help="folder of the compiled kernels, *.cu.o; default: kernels/cuda of the build")
    parser.add_argument("--cuobjdump", default="cuobjdump", help="path of cuobjdump")
    parser.add_argument("--architecture", default="sm_90a")
    parser.add_argument("--size", action="append", choices=sorted(launches.SIZES), help="may be repeated; default: all")
    parser.add_argument("--workload", choices=["decode", "forward"], default="decode", help="which pass --measured shows")
    parser.add_argument("--out", type=Path, help="the tables, as Markdown")
    parser.add_argument("--json", type=Path, help="the same for --predicted")
    parser.add_argument("--predicted", type=Path, help="compare: predictions of --json")
    parser.add_argument("--measured", type=Path, help="... with a table of ncu --csv or of nsys stats")
    parser.add_argument("--bench", type=Path, help="... with rows of `vitrine bench --out`, or check_second.json")
    args = parser.parse_args()
    args.size = args.size or ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
    if bool(args.predicted) != bool(args.measured or args.bench):
        parser.error("--predicted goes with --measured or --bench")
    return args


def main() -> int:
    args = parse_args()
    try:
        if args.predicted:
            show_comparison(args)
            return 0
        predictions = predict(args)
    except (ValueError, OSError, json.JSONDecodeError) as error:
        print(f"gpu_model: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(predictions, indent=1) + "\n")
    text = table.markdown(predictions)
    if args.out:
        args.out.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
