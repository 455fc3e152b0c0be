# SPDX-License-Identifier: MIT
"""Statistics over rows, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitrine.error import Error
from vitrine.shards.files import Shard
from vitrine.shards.manifest import Manifest

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


def stored_statistics(manifests: Sequence[Manifest], site: str, covariance: bool) -> Statistics | None:
    """What the capture has summed up beside its shards; None where it has not, or not the covariances."""
    running = RunningStatistics(covariance)
    for manifest in manifests:
        if manifest.statistics is None:
            return None
        path = manifest.folder / "statistics.safetensors"
        try:
            found = {one["site"]: one for one in manifest.statistics["sites"]}[site]
            rows = int(found["rows"])
            if rows == 0:
                continue
            norms = rows * float(found["mean_norm"])
        except (KeyError, TypeError, ValueError) as error:
            raise Error(f"{manifest.path}: damaged: statistics of {site!r}: {error!r}") from None
        sums = Shard(path, tables=())
        mean, products = sums[f"{site}.origin"] + sums[f"{site}.mean"], sums[f"{site}.products"]
        width = len(mean)
        if products.shape == (width * width,) and width > 1:
            lower = np.tril(products.reshape(width, width))
            products = lower + np.tril(lower, -1).T if covariance else lower.diagonal()
        elif covariance and width > 1:
            return None
        elif products.shape != (width,):
            raise Error(f"{path}: damaged: {len(products)} sums of {width} elements")
        running.merge(rows, mean, products.reshape(width, width) if covariance else products, norms)
    return running.result()


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
        self.merge(count, mean, values.T @ values if self._covariance else (values * values).sum(0))

    def merge(self, count: int, mean: Numbers, squares: Numbers, norms: float = 0.0) -> None:
        """Adds `count` rows by their mean and centred sums of squares (or products), and the sum of their lengths."""
        self._norms += norms
        if self._rows == 0:
            self._mean, self._sum, self._rows = mean, squares, count
            return
        total = self._rows + count
        step = mean - self._mean
        between = np.outer(step, step) if self._covariance else step * step
        self._sum = self._sum + squares + between * (self._rows * count / total)
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
