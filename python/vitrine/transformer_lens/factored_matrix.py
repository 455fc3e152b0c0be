# SPDX-License-Identifier: MIT
"""Matrices of low rank, kept as two factors."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import torch

from vitrine.transformer_lens.tensors import get_corner, transpose


class FactoredMatrix:
    """The matrix A @ B, never multiplied out: A [..., ldim, mdim], B [..., mdim, rdim].

    Leading axes broadcast. Factors may be objects that are like tensors (size, ndim, shape, broadcast_to,
    unsqueeze, @); decompositions need tensors.
    """

    def __init__(self, A: Any, B: Any) -> None:
        if A.size(-1) != B.size(-2):
            raise AssertionError(
                f"Factored matrix must match on inner dimension, shapes were a: {A.shape}, b:{B.shape}"
            )
        self.ldim, self.mdim, self.rdim = A.size(-2), B.size(-2), B.size(-1)
        self.has_leading_dims = A.ndim > 2 or B.ndim > 2
        try:
            leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        except RuntimeError as error:
            raise RuntimeError(
                "Shape mismatch: Cannot broadcast leading dimensions. "
                f"A has shape {A.shape}, B has shape {B.shape}. {error}"
            ) from error
        self.shape = (*leading, self.ldim, self.rdim)
        self.A = A.broadcast_to((*leading, self.ldim, self.mdim))
        self.B = B.broadcast_to((*leading, self.mdim, self.rdim))

    def __matmul__(self, other: Any) -> Any:
        """The product with a matrix or FactoredMatrix is a FactoredMatrix, with a vector a tensor."""
        if isinstance(other, FactoredMatrix):
            return (self @ other.A) @ other.B
        if other.ndim < 2:
            return (self.A @ (self.B @ other.unsqueeze(-1))).squeeze(-1)
        if other.size(-2) != self.rdim:
            raise AssertionError(
                f"Right matrix must match on inner dimension, shapes were self: {self.shape}, other:{other.shape}"
            )
        if self.rdim > self.mdim:
            return FactoredMatrix(self.A, self.B @ other)
        return FactoredMatrix(self.AB, other)

    def __rmatmul__(self, other: Any) -> Any:
        if isinstance(other, FactoredMatrix):
            return other.A @ (other.B @ self)
        if other.size(-1) != self.ldim:
            raise AssertionError(
                f"Left matrix must match on inner dimension, shapes were self: {self.shape}, other:{other.shape}"
            )
        if other.ndim < 2:
            return ((other.unsqueeze(-2) @ self.A) @ self.B).squeeze(-2)
        if self.ldim > self.mdim:
            return FactoredMatrix(other @ self.A, self.B)
        return FactoredMatrix(other, self.AB)

    def __mul__(self, scalar: Any) -> FactoredMatrix:
        if isinstance(scalar, torch.Tensor) and scalar.numel() != 1:
            raise AssertionError(
                f"Tensor must be a scalar for use with * but was of shape {scalar.shape}. "
                "For matrix multiplication, use @ instead."
            )
        return FactoredMatrix(self.A * scalar, self.B)

    def __rmul__(self, scalar: Any) -> FactoredMatrix:
        return self * scalar

    @property
    def AB(self) -> Any:
        """The whole matrix [..., ldim, rdim]."""
        return self.A @ self.B

    @property
    def BA(self) -> Any:
        """The factors multiplied the other way round; needs ldim == rdim."""
        if self.rdim != self.ldim:
            raise AssertionError(f"Can only take ba if ldim==rdim, shapes were self: {self.shape}")
        return self.B @ self.A

    @property
    def T(self) -> FactoredMatrix:
        """The transposed matrix."""
        return FactoredMatrix(transpose(self.B), transpose(self.A))

    @cached_property
    def _svd(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        left, left_values, left_right = torch.linalg.svd(self.A, full_matrices=False)
        right_left, right_values, right = torch.linalg.svd(self.B, full_matrices=False)
        middle = left_values[..., :, None] * (left_right @ right_left) * right_values[..., None, :]
        u, s, vh = torch.linalg.svd(middle, full_matrices=False)
        return left @ u, s, transpose(right) @ transpose(vh)

    def svd(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(U, S, V), V [..., rdim, mdim] and not its transpose: the matrix is U @ diag(S) @ V^T."""
        return self._svd

    @property
    def U(self) -> torch.Tensor:
        """Left singular vectors [..., ldim, mdim], in columns."""
        return self._svd[0]

    @property
    def S(self) -> torch.Tensor:
        """Singular values [..., mdim], descending."""
        return self._svd[1]

    @property
    def V(self) -> torch.Tensor:
        """Right singular vectors [..., rdim, mdim], in columns."""
        return self._svd[2]

    @property
    def Vh(self) -> torch.Tensor:
        """V, under the name that TransformerLens had for it."""
        warnings.warn("FactoredMatrix.Vh is V, not its transpose: use .V", DeprecationWarning, stacklevel=2)
        return self._svd[2]

    @property
    def eigenvalues(self) -> torch.Tensor:
        """Those of the whole matrix, without the zeros beyond mdim: the eigenvalues of B @ A."""
        reverse = self.BA
        if reverse.dtype in (torch.bfloat16, torch.float16):
            reverse = reverse.float()
        values: torch.Tensor = torch.linalg.eig(reverse).eigenvalues
        return values

    def __getitem__(self, idx: Any) -> FactoredMatrix:
        """Indexes the leading axes, then rows, then columns; an int among the last two keeps its axis."""
        index = idx if isinstance(idx, tuple) else (idx,)
        length = len([i for i in index if i is not None])
        leading = len(self.shape) - 2
        if length <= leading:
            return FactoredMatrix(self.A[index], self.B[index])
        if length == leading + 1:
            *before, row = index
            return FactoredMatrix(self.A[(*before, _kept(row))], self.B[tuple(before)])
        if length == leading + 2:
            *before, row, column = index
            return FactoredMatrix(self.A[(*before, _kept(row))], self.B[(*before, slice(None), _kept(column))])
        raise ValueError(f"{index} is too long an index for a FactoredMatrix with shape {self.shape}")

    def norm(self) -> torch.Tensor:
        """The Frobenius norm."""
        return self.S.pow(2).sum(-1).sqrt()

    def make_even(self) -> FactoredMatrix:
        """The same matrix as U sqrt(S) times sqrt(S) V^T."""
        root = self.S.sqrt()
        return FactoredMatrix(self.U * root[..., None, :], root[..., :, None] * transpose(self.V))

    def collapse_l(self) -> torch.Tensor:
        """S V^T [..., mdim, rdim]: the matrix without the rotation on its left."""
        return self.S[..., :, None] * transpose(self.V)

    def collapse_r(self) -> torch.Tensor:
        """U S [..., ldim, mdim]: the matrix without the rotation on its right."""
        return self.U * self.S[..., None, :]

    def get_corner(self, k: int = 3) -> Any:
        """The first `k` rows and columns of the whole matrix."""
        return get_corner(self.A[..., :k, :] @ self.B[..., :, :k], k)

    def unsqueeze(self, k: int) -> FactoredMatrix:
        """The matrix with a leading axis of one element at `k`."""
        return FactoredMatrix(self.A.unsqueeze(k), self.B.unsqueeze(k))

    @property
    def ndim(self) -> int:
        """Number of axes of the whole matrix."""
        return len(self.shape)

    @property
    def pair(self) -> tuple[Any, Any]:
        """(A, B)"""
        return self.A, self.B

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"


def _kept(index: Any) -> Any:
    """An int as a slice of one, so that the axis is kept."""
    if isinstance(index, int):
        return slice(index, index + 1 if index != -1 else None)
    return index


def composition_scores(left: FactoredMatrix, right: FactoredMatrix, broadcast_dims: bool = True) -> torch.Tensor:
    """|left @ right| / (|left| |right|) for all pairs of leading indices; without `broadcast_dims`, for equal ones."""
    if broadcast_dims:
        left_axes, right_axes = left.ndim - 2, right.ndim - 2
        for i in range(left_axes):
            right = right.unsqueeze(i)
        for i in range(right_axes):
            left = left.unsqueeze(i + left_axes)
    if left.rdim != right.ldim:
        raise AssertionError(
            f"Composition scores require left.rdim==right.ldim, shapes were left: {left.shape}, right:{right.shape}"
        )
    after, before = left.collapse_l(), right.collapse_r()
    norms = [part.norm(dim=[-2, -1]) for part in (after @ before, before, after)]
    return norms[0] / norms[1] / norms[2]
