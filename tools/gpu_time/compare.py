# SPDX-License-Identifier: MIT
"""Predictions beside what was measured: kernels by a profiler's table, passes by `vitrine bench`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from dataclasses import dataclass

from gpu_time.code import simplify


@dataclass
class Measured:
    kernel: str
    grid: str  # "12,1,1"; empty if the profiler does not tell
    seconds: float  # of one launch, the mean
    launches: int


def grid_of(text: str) -> str:
    return ",".join(re.findall(r"\d+", text))


def parse_ncu(rows: list[dict[str, str]]) -> list[Measured]:
    """`ncu --csv` with gpu__time_duration.sum: a line for each metric of each launch."""
    factor = {"ns": 1e-9, "nsecond": 1e-9, "us": 1e-6, "usecond": 1e-6, "ms": 1e-3, "msecond": 1e-3, "s": 1.0, "second": 1.0}
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if not row["Metric Name"].startswith("gpu__time_duration"):
            continue
        if row["Metric Unit"] not in factor:
            raise ValueError(f"unknown unit '{row['Metric Unit']}' of a time: expected one of {', '.join(factor)}")
        seconds = float(row["Metric Value"].replace(",", "")) * factor[row["Metric Unit"]]
        times[simplify(row["Kernel Name"]), grid_of(row["Grid Size"])].append(seconds)
    return [Measured(kernel, grid, sum(all_) / len(all_), len(all_)) for (kernel, grid), all_ in times.items()]


def parse_nsys(rows: list[dict[str, str]]) -> list[Measured]:
    """`nsys stats --report cuda_gpu_kern_sum --format csv`."""
    return [Measured(simplify(row["Name"]), grid_of(row.get("GridXYZ", "")), float(row["Avg (ns)"]) / 1e9, int(row["Instances"])) for row in rows]


def parse_measured(text: str) -> list[Measured]:
    """Either of the two, after whatever lines the program printed before."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if "Kernel Name" in line or ("Instances" in line and "Name" in line)), None)
    if start is None:
        raise ValueError("neither a table of `ncu --csv` nor of `nsys stats --report cuda_gpu_kern_sum --format csv`: no line names its columns")
    rows = list(csv.DictReader(io.StringIO("\n".join(line for line in lines[start:] if line.strip() and not line.startswith("==")))))
    found = parse_ncu(rows) if "Metric Name" in (rows[0] if rows else {}) else parse_nsys(rows)
    if not found:
        raise ValueError("the table has no time of a kernel")
    return found


def compare_kernels(predicted: list[dict], measured: list[Measured]) -> list[str]:
    """A line for each kernel of both, the largest difference in a pass first; then those of one side alone."""
    by_name: dict[tuple[str, str], dict] = {}
    for row in predicted:
        by_name[row["kernel"], row["grid"]] = row
    lines, met = [], set()
    for m in measured:
        row = by_name.get((m.kernel, m.grid))
        if row is None and not m.grid:
            row = next((r for (name, _), r in by_name.items() if name == m.kernel), None)
        if row is None:
            continue
        met.add((row["kernel"], row["grid"]))
        off = (m.seconds - row["alone_us"] * 1e-6) * row["launches"]
        lines.append((abs(off), f"{row['short']:<44} {row['grid']:>12} {row['launches']:>5} {row['alone_us']:>9.2f} {m.seconds * 1e6:>9.2f} "
                                f"{m.seconds * 1e6 / max(row['alone_us'], 1e-9):>6.2f} {off * 1e6:>+10.1f}  {row['limit']}"))
    head = f"{'kernel':<44} {'grid':>12} {'times':>5} {'predicted':>9} {'measured':>9} {'ratio':>6} {'us a pass':>10}  predicted limit"
    only = [f"not measured: {row['short']} {row['grid']}" for key, row in by_name.items() if key not in met]
    names = {name for name, _ in met}
    more = sorted({f"not predicted: {m.kernel[:90]} {m.grid}" for m in measured if m.kernel not in names})
    return [head, *(line for _, line in sorted(lines, key=lambda pair: -pair[0])), *only, *more]


def compare_passes(predictions: list[dict], text: str) -> list[str]:
    """`text`: rows of `vitrine bench --out`, or what tools/device_check.sh wrote."""
    document = json.loads(text)
    tables = document.get("bench", [document])
    rows = [row for table in tables if "peer" not in table for row in table.get("rows", [])]
    lines = [f"{'pass':<52} {'predicted ms':>12} {'measured ms':>12} {'ratio':>6}"]
    for p in predictions:
        shape = f"batch {p['batch']} after {p['tokens']}" if p["workload"] == "decode" else f"{p['batch']} x {p['tokens']} tokens"
        for row in rows:
            if (row.get("model"), row.get("workload"), row.get("shape"), row.get("hooks") or "none") == (p["size"], p["workload"], shape, p["hooks"]) \
                    and row.get("seconds") and row.get("dtype") == "bf16":
                seconds = row["seconds"]["median"]
                lines.append(f"{p['name']:<52} {p['ms']:>12.4f} {seconds * 1e3:>12.4f} {seconds * 1e3 / p['ms']:>6.2f}")
                break
    return lines
