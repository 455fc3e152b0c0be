// SPDX-License-Identifier: MIT
#pragma once

#include "analysis/common/matrix.h"

// Products, a solver and decompositions in float64, on one thread. The only unit that includes
// Eigen, whose templates take half a minute to compile.

namespace vitrine::internal {

/// out += factor * a * b.
void add_product(MatrixRef out, ConstMatrixRef a, ConstMatrixRef b, double factor = 1);
/// a * b.
Matrix product(ConstMatrixRef a, ConstMatrixRef b);
/// out += x^T x for x [n, m], in the lower half of out [m, m] row by row; the upper half keeps what
/// it has.
void add_gram(std::span<double> out, const Matrix& x);
/// Copies the lower half of a square matrix to the upper.
void mirror_lower(Matrix& matrix);

/// The solution X of a X = b for a symmetric positive definite a, by LDL^T with pivoting.
Matrix solve_positive_definite(const Matrix& a, const Matrix& b);

/// x = sum over i of values[i] * u_i * v_i^T for x [n, m]. Row i of `u` [k, n] and of `v` [k, m] is
/// the i-th pair of singular vectors; values [k] descend; k = min(n, m).
struct SingularValues {
  Matrix u;
  std::vector<double> values;
  Matrix v;
};

SingularValues thin_svd(const Matrix& x);
/// The values alone, descending.
std::vector<double> singular_values(const Matrix& x);

/// Of a symmetric matrix [n, n]: values [n] descending; row i of `vectors` [n, n] is the unit
/// eigenvector of values[i], if requested.
struct SymmetricEigen {
  std::vector<double> values;
  Matrix vectors;
  bool converged = false;
};

SymmetricEigen symmetric_eigen(ConstMatrixRef matrix, bool with_vectors = true);

}  // namespace vitrine::internal
