# SPDX-License-Identifier: MIT
"""Statistics over rows, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Of the rows of a site, each row as one vector of D numbers. All in float64."""

    rows: int
    mean: Numbers
    """[D]"""
    variance: Numbers
    """[D], with divisor `rows`"""
    mean_norm: float
    """Mean of the rows' lengths. sqrt(D) / mean_norm is the factor that SAE trainers scale rows by."""
    covariance: Numbers | None
    """[D, D], with divisor `rows`, if it was requested"""


class RunningStatistics:
    """Sums that are centred chunk by chunk (Chan et al.), so that large means lose no precision."""

    def __init__(self, covariance: bool) -> None:
        self._rows = 0
        self._mean: Numbers = np.zeros(0)
        self._sum: Numbers = np.zeros(0)
        self._norms = 0.0
        self._covariance = covariance

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        values = rows.reshape(len(rows), -1).astype(np.float64)
        count = len(values)
        if count == 0:
            return
        mean = values.mean(0)
        self._norms += float(np.sqrt((values * values).sum(1)).sum())
        values -= mean
        squares = values.T @ values if self._covariance else (values * values).sum(0)
        if self._rows == 0:
            self._mean, self._sum, self._rows = mean, squares, count
            return
        total = self._rows + count
        step = mean - self._mean
        between = np.outer(step, step) if self._covariance else step * step
        self._sum += squares + between * (self._rows * count / total)
        self._mean = self._mean + step * (count / total)
        self._rows = total

    def result(self) -> Statistics:
        sums = self._sum / max(1, self._rows)
        return Statistics(
            rows=self._rows,
            mean=self._mean,
            variance=sums.diagonal().copy() if self._covariance else sums,
            mean_norm=self._norms / max(1, self._rows),
            covariance=sums if self._covariance else None,
        )
