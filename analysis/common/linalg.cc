// SPDX-License-Identifier: MIT
#include "analysis/common/linalg.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/SVD>
#include <algorithm>

namespace vitrine::internal {
namespace {

// All of Eigen is instantiated for column-major matrices alone: a row-major matrix is its
// transpose.
using Columns = Eigen::MatrixXd;
using Strided = Eigen::Map<const Columns, Eigen::Unaligned, Eigen::OuterStride<>>;

/// The transpose of a row-major matrix.
Eigen::Map<const Columns> transposed(const Matrix& x) {
  return {x.values().data(), x.columns(), x.rows()};
}
Eigen::Map<Columns> transposed(Matrix& x) { return {x.values().data(), x.columns(), x.rows()}; }

/// A matrix whose columns are contiguous.
Strided columns_of(ConstMatrixRef x) {
  return {x.data, x.rows, x.columns, Eigen::OuterStride<>(x.column_stride)};
}

std::vector<double> numbers(const Eigen::VectorXd& values) {
  return {values.data(), values.data() + values.size()};
}

/// A column-major [n, m] matrix, read as row-major [m, n].
Matrix rows_of(const Columns& x) {
  Matrix rows(x.cols(), x.rows());
  std::copy_n(x.data(), x.size(), rows.values().data());
  return rows;
}

}  // namespace

void add_product(MatrixRef out, ConstMatrixRef a, ConstMatrixRef b, double factor) {
  // out^T += b^T a^T.
  Eigen::Map<Columns> result(out.data, out.columns, out.rows);
  const bool a_by_rows = a.column_stride == 1, b_by_rows = b.column_stride == 1;
  if (b_by_rows && a_by_rows)
    result.noalias() += factor * columns_of(b.t()) * columns_of(a.t());
  else if (b_by_rows)
    result.noalias() += factor * columns_of(b.t()) * columns_of(a).transpose();
  else if (a_by_rows)
    result.noalias() += factor * columns_of(b).transpose() * columns_of(a.t());
  else
    result.noalias() += factor * columns_of(b).transpose() * columns_of(a).transpose();
}

Matrix product(ConstMatrixRef a, ConstMatrixRef b) {
  Matrix out(a.rows, b.columns);
  add_product(out, a, b);
  return out;
}

void add_gram(std::span<double> out, const Matrix& x) {
  // The lower half row by row is the upper half column by column.
  Eigen::Map<Columns>(out.data(), x.columns(), x.columns())
      .selfadjointView<Eigen::Upper>()
      .rankUpdate(transposed(x));
}

void mirror_lower(Matrix& matrix) {
  for (int64_t i = 0; i < matrix.rows(); ++i) {
    for (int64_t j = 0; j < i; ++j) matrix(j, i) = matrix(i, j);
  }
}

Matrix solve_positive_definite(const Matrix& a, const Matrix& b) {
  const Columns right = transposed(b).transpose();
  const Columns solution = Eigen::LDLT<Columns>(transposed(a)).solve(right);
  Matrix result(b.rows(), b.columns());
  transposed(result) = solution.transpose();
  return result;
}

SingularValues thin_svd(const Matrix& x) {
  // Of the transpose, so its left vectors are the right ones of x.
  const Eigen::BDCSVD<Columns> svd(transposed(x), Eigen::ComputeThinU | Eigen::ComputeThinV);
  return {rows_of(svd.matrixV()), numbers(svd.singularValues()), rows_of(svd.matrixU())};
}

std::vector<double> singular_values(const Matrix& x) {
  return numbers(Eigen::BDCSVD<Columns>(transposed(x)).singularValues());
}

SymmetricEigen symmetric_eigen(ConstMatrixRef matrix, bool with_vectors) {
  const Eigen::SelfAdjointEigenSolver<Columns> solver(
      columns_of(matrix.row_stride == 1 ? matrix : matrix.t()),
      with_vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
  SymmetricEigen result{
      numbers(solver.eigenvalues().reverse()), {}, solver.info() == Eigen::Success};
  if (with_vectors && result.converged)
    result.vectors = rows_of(solver.eigenvectors().rowwise().reverse());
  return result;
}

}  // namespace vitrine::internal
