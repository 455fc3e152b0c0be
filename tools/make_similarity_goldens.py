#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/similarity.json and factors.json.

Similarity of layers by NumPy, with the formulas in the form that the engine does not use (CKA by centred kernels, SVCCA by two
singular value decompositions and a QR one), on residual streams that make_analysis_goldens.py computes in double precision. Neuron
factors by scikit-learn, on mlp.hook_post as transformers computed it. Needs numpy, safetensors, scikit-learn:

    python3 tools/make_similarity_goldens.py
"""

import json

import numpy as np
from make_analysis_goldens import ROOT, Model
from safetensors.numpy import load_file
from sklearn.decomposition import NMF

OUT = ROOT / "tests" / "analysis" / "goldens"


def hsic(x, y):
    centre = np.eye(len(x)) - 1 / len(x)
    return np.trace(centre @ x @ x.T @ centre @ y @ y.T)


def cka(x, y):
    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def principal(x, variance):
    x = x - x.mean(0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    share = np.cumsum(s**2) / np.sum(s**2)
    assert np.abs(share - variance).min() > 1e-6, "a count of components that rounding could change"
    count = int(np.searchsorted(share, variance) + 1)
    return u[:, :count] * s[:count]


def svcca(x, y, variance):
    a, b = principal(x, variance), principal(y, variance)
    correlations = np.linalg.svd(np.linalg.qr(a)[0].T @ np.linalg.qr(b)[0], compute_uv=False)
    return correlations.mean(), a.shape[1], b.shape[1]


def compare(rows, columns, variance):
    pairs = [[svcca(x, y, variance) for y in columns] for x in rows]
    return {"cka": [[cka(x, y) for y in columns] for x in rows], "svcca": [[p[0] for p in line] for line in pairs],
            "row_components": [line[0][1] for line in pairs], "column_components": [p[2] for p in pairs[0]]}


def similarity():
    plain = Model(ROOT / "tests" / "goldens" / "plain")
    untied = Model(ROOT / "tests" / "goldens" / "untied")
    rng = np.random.default_rng(3)
    cases = []
    for lengths in [[5, 9], [16, 12, 16, 1, 14, 16, 13]]:  # fewer tokens than a layer is wide, and more
        texts = [[int(t) for t in rng.integers(0, 97, n)] for n in lengths]
        streams = [np.concatenate([np.stack(m.residuals(t)[1:]) for t in texts], 1) for m in (plain, untied)]
        cases.append({"texts": texts, "variance": 0.95, "plain": compare(streams[0], streams[0], 0.95),
                      "plain_untied": compare(streams[0], streams[1], 0.95)})
    return cases


def factors():
    expected = load_file(ROOT / "tests" / "goldens" / "plain" / "expected.safetensors")
    sequences = json.loads((ROOT / "tests" / "goldens" / "plain" / "expected.json").read_text())["sequences"]
    x = np.concatenate([np.concatenate([expected[f"seq{i}/blocks.{n}.mlp.hook_post"] for n in range(3)], 1) for i in (1, 2)])
    x = np.maximum(x.astype(np.float64), 0)
    cases = []
    for components in [1, 4, 8]:
        for init in ["random", "nndsvd"]:
            # The problem has many minima. Of the random starts, the best and the worst say what is fair to expect of one.
            residuals = []
            for seed in range(20 if init == "random" else 1):
                model = NMF(components, init=init, random_state=seed, max_iter=2000, tol=1e-6)
                w = model.fit_transform(x)
                residuals.append(float(np.linalg.norm(x - w @ model.components_) / np.linalg.norm(x)))
            cases.append({"components": components, "init": init, "best": min(residuals), "worst": max(residuals)})
    return {"texts": [s["ids"] for s in sequences[1:3]], "cases": cases}


def main():
    (OUT / "similarity.json").write_text(json.dumps(similarity()) + "\n")
    (OUT / "factors.json").write_text(json.dumps(factors(), indent=1) + "\n")


if __name__ == "__main__":
    main()
