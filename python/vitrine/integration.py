# SPDX-License-Identifier: MIT
"""Gradients at given values of a site, and their mean along a line: what the attribution modules share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Edit, Model, Target
from vitrine.error import Error

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
_TOKENS_A_PASS = 2048  # of all rows, unless the caller gives their number


def slopes(
    model: Model, ids: Ids, site: str, values: Floats, aims: Sequence[Target], rows: int | None
) -> tuple[npt.NDArray[np.float64], Floats]:
    """The targets' values [N] and their gradients at a site that has `values` [N, T, ...].

    `rows`: of ids [N, T] in one pass; None chooses.
    """
    found = []
    length = ids.shape[1]
    chunk = rows or max(1, _TOKENS_A_PASS // length)
    for begin in range(0, len(ids), chunk):
        part = range(begin, min(begin + chunk, len(ids)))
        edits = [
            Edit.replace(site, values[n].reshape(length, -1), positions=range(length), sequences=i)
            for i, n in enumerate(part)
        ]
        chosen = slice(part.start, part.stop)
        found += model.gradients(ids[chosen], aims[chosen], wrt=site, edits=edits)
    return np.array([one.value for one in found]), np.stack([one[site] for one in found])


def _rule(method: str, n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Captum's step sizes and positions along the path, [n] each."""
    if method == "gausslegendre":
        if n < 1:
            raise Error(f"invalid n_steps {n}: expected at least 1")
        nodes, weights = np.polynomial.legendre.leggauss(n)
        return 0.5 * weights, 0.5 * (1 + nodes)
    ends = {
        "riemann_left": (0, 1 - 1 / max(n, 1)),
        "riemann_right": (1 / max(n, 1), 1),
        "riemann_middle": (0.5 / max(n, 1), 1 - 0.5 / max(n, 1)),
        "riemann_trapezoid": (0, 1),
    }
    if method not in ends:
        raise Error(f"unknown method {method!r}: expected gausslegendre, {', '.join(ends)}")
    if n < 2:
        raise Error(f"invalid n_steps {n}: expected at least 2 for {method}")
    sizes = np.full(n, 1 / n)
    if method == "riemann_trapezoid":
        sizes[[0, -1]] /= 2
    return sizes, np.linspace(*ends[method], n)


def mean_gradient(
    model: Model,
    ids: Ids,
    site: str,
    ends: tuple[Floats, Floats],
    aim: Target,
    n_steps: int,
    method: str,
    rows: int | None,
) -> npt.NDArray[np.float64]:
    """The target's gradient [T, ...] for ids [T], averaged on the line between two values of a site."""
    if rows is not None and rows < 1:
        raise Error(f"invalid internal_batch_size {rows}: expected at least 1")
    sizes, alphas = _rule(method, n_steps)
    start, end = ends
    path = start + alphas.reshape(-1, *[1] * end.ndim) * (end - start)
    steps = np.repeat(ids[None], n_steps, 0)
    gradients = slopes(model, steps, site, path.astype(np.float32), [aim] * n_steps, rows)[1]
    return np.tensordot(sizes, gradients, 1)
