#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/predictivity.json: cross-validated regressions by scikit-learn, and the study's untrained parts by NumPy.

Ridge with the choice "loo" is StandardScaler and RidgeCV(alpha_per_target=True), ols is LinearRegression; ridge with the choice "gcv", which
scikit-learn does not have (what it calls so is leave-one-out), is Golub, Heath & Wahba's formula with the hat matrix written out. Folds
are part of the file. Needs scikit-learn and scipy:

    python3 tools/make_predictivity_goldens.py
"""

import json
import pathlib

import numpy as np
from scipy.stats import pearsonr
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALPHAS = [1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3]
MIN_RATIO = 1 + 1e-6  # between the best and the second alpha's criterion: rounding cannot change the choice


def gcv_alphas(x, y):
    """Of each column of y. x is standardised."""
    n = len(x)
    centre = np.full((n, n), 1 / n)
    chosen = []
    for column in y.T:
        criteria = []
        for alpha in ALPHAS:
            hat = centre + x @ np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T)
            rest = column - hat @ column
            criteria.append(n * rest @ rest / np.trace(np.eye(n) - hat) ** 2)
        first, second = np.sort(criteria)[:2]
        assert second / first > MIN_RATIO
        chosen.append(ALPHAS[int(np.argmin(criteria))])
    return chosen


def fit(method, x, y, test):
    if method == "ols":
        return LinearRegression().fit(x, y).predict(test), []
    scaler = StandardScaler().fit(x)
    x, test = scaler.transform(x), scaler.transform(test)
    if method == "loo":
        model = RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(x, y)
        return model.predict(test), model.alpha_.tolist()
    alphas = gcv_alphas(x, y)
    predicted = [Ridge(alpha=a, solver="svd").fit(x, column).predict(test) for a, column in zip(alphas, y.T)]
    return np.stack(predicted, axis=1), alphas


def case(name, x, y, folds):
    found = {"name": name, "features": x.tolist(), "responses": y.tolist(), "folds": folds.tolist(), "results": {}}
    for method in ["ols", "loo", "gcv"]:
        predictions, alphas, r = np.zeros_like(y), [], []
        for fold in range(folds.max() + 1):
            inside, outside = folds != fold, folds == fold
            predicted, chosen = fit(method, x[inside], y[inside], x[outside])
            predictions[outside] = predicted
            alphas += chosen
            r += [pearsonr(predicted[:, q], y[outside, q])[0] for q in range(y.shape[1])]
        found["results"][method] = {"predictions": predictions.tolist(), "alphas": alphas, "r": r}
    return found


def main():
    rng = np.random.default_rng(7)

    def data(n, f, q, noise):
        x = np.round(rng.normal(size=(n, f)) * rng.uniform(0.2, 5, f) + rng.normal(size=f), 3)
        y = x @ rng.normal(size=(f, q)) / np.sqrt(f) + noise * rng.normal(size=(n, q)) + 2
        return x, np.round(y, 3)

    cases = []
    x, y = data(30, 6, 3, np.array([0.1, 1.5, 8.0]))
    cases.append(case("more stimuli than features", x, y, np.array([0, 1, 2] * 10)))
    x, y = data(24, 31, 3, np.array([0.05, 1.0, 6.0]))
    cases.append(case("more features than stimuli", x, y, np.repeat([0, 1, 2, 3], [5, 6, 6, 7])))
    x, y = data(26, 7, 2, np.array([0.5, 3.0]))
    x[:, 2] = x[:, 4] * 2  # the same twice
    x[:, 5] = 3.25         # nothing
    cases.append(case("features that repeat or do not vary", x, y, np.array([0, 1] * 13)))
    path = ROOT / "tests" / "analysis" / "goldens" / "predictivity.json"
    path.write_text(json.dumps(cases) + "\n")
    print(path, path.stat().st_size, "bytes")
    for c in cases:
        print(c["name"], {m: (sorted(set(v["alphas"])), [round(a, 3) for a in v["r"]]) for m, v in c["results"].items()})


main()
