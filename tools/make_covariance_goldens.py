#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/covariance.json: what NumPy says about a few small matrices and about activations.

    python3 tools/make_covariance_goldens.py

Needs numpy alone. The activations are hidden states that transformers made (tests/goldens/plain/expected.safetensors, float32).
"""

import json
import pathlib
import struct

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests" / "goldens" / "plain"


def read_f32(path, name):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8 : 8 + length])[name]
    begin, end = entry["data_offsets"]
    dtype = {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
    return np.frombuffer(data[8 + length + begin : 8 + length + end], dtype).reshape(entry["shape"])


def case(name, m, y=None, **options):
    """One call of numpy.cov with what it gave; `m` and `y` as nested lists."""
    arguments = {k: (v.tolist() if isinstance(v, np.ndarray) else v) for k, v in options.items()}
    cov = np.atleast_2d(np.cov(m, y, **options))
    out = {"name": name, "m": m.tolist(), "options": arguments, "cov": cov.tolist()}
    if y is not None:
        out["y"] = y.tolist()
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(np.diag(cov))
        correlation = np.clip(cov / deviation[:, None] / deviation[None, :], -1, 1)
    if y is None and not options and len(cov) > 1:
        assert np.allclose(correlation, np.corrcoef(m), rtol=0, atol=1e-15, equal_nan=True)
    out["corr"] = [[None if np.isnan(x) else x for x in row] for row in correlation.tolist()]
    values, vectors = np.linalg.eigh(cov)
    out["eigenvalues"] = values[::-1].tolist()
    if len(values) == 1 or np.diff(values).min() > 1e-3 * values[-1]:  # else rounding could turn the vectors
        signs = [1 if v[np.abs(v).argmax()] > 0 else -1 for v in vectors.T]
        out["components"] = [(s * v).tolist() for s, v in zip(signs, vectors.T)][::-1]
    return out


def main():
    rng = np.random.default_rng(17)
    x = rng.normal(size=(4, 11)) @ np.diag(rng.uniform(0.5, 2, 11)) + rng.normal(size=(4, 1))
    y = rng.normal(size=(2, 11))
    f = rng.integers(0, 4, 11)
    a = rng.uniform(0, 2, 11)
    a[3] = 0
    sequences = json.loads((GOLDENS / "expected.json").read_text())["sequences"]
    longest = max(range(len(sequences)), key=lambda i: len(sequences[i]["ids"]))
    resid = read_f32(GOLDENS / "expected.safetensors", f"seq{longest}/blocks.1.hook_resid_post").astype(np.float64)[:, :6]
    cases = [
        case("plain", x),
        case("columns", x.T.copy(), rowvar=False),
        case("one variable", x[:1]),
        case("bias", x, bias=True),
        case("ddof 0", x, ddof=0),
        case("ddof 3", x, ddof=3),
        case("ddof -2", x, ddof=-2),
        case("ddof over bias", x, bias=True, ddof=2),
        case("fweights", x, fweights=f),
        case("aweights", x, aweights=a),
        case("both weights", x, fweights=f, aweights=a),
        case("both weights, ddof 0", x, fweights=f, aweights=a, ddof=0),
        case("both weights, ddof 2", x, fweights=f, aweights=a, ddof=2),
        case("y", x, y),
        case("y by columns", x.T.copy(), y.T.copy(), rowvar=False, ddof=0),
        case("y and weights", x, y, fweights=f, aweights=a),
        case("large means", np.round(x * 1024) / 1024 + 1e9),
        case("a variable that does not vary", np.vstack([x[:2], np.full((1, 11), 0.5)])),
        case("activations", resid, rowvar=False),
    ]
    path = ROOT / "tests" / "analysis" / "goldens" / "covariance.json"
    path.write_text(json.dumps({"cases": cases}) + "\n")
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
