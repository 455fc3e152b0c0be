// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace vitrine::internal {

/// A float64 matrix in memory that another object owns: element (i, j) is
/// data[i * row_stride + j * column_stride]. One of the strides is 1.
struct ConstMatrixRef {
  const double* data = nullptr;
  int64_t rows = 0, columns = 0;
  int64_t row_stride = 0, column_stride = 1;

  /// The transpose, in the same memory.
  ConstMatrixRef t() const { return {data, columns, rows, column_stride, row_stride}; }
};

/// The same to be written, row by row without gaps.
struct MatrixRef {
  double* data = nullptr;
  int64_t rows = 0, columns = 0;
};

/// A float64 matrix, row by row.
class Matrix {
 public:
  Matrix() = default;
  /// Zeros.
  Matrix(int64_t rows, int64_t columns)
      : rows_(rows), columns_(columns), values_(static_cast<size_t>(rows * columns)) {}
  /// Widens float32 values, row by row.
  Matrix(std::span<const float> values, int64_t rows, int64_t columns)
      : rows_(rows), columns_(columns), values_(values.begin(), values.end()) {}
  /// Takes the values, row by row.
  Matrix(std::vector<double> values, int64_t rows, int64_t columns)
      : rows_(rows), columns_(columns), values_(std::move(values)) {}

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  bool empty() const { return values_.empty(); }
  double& operator()(int64_t i, int64_t j) {
    return values_[static_cast<size_t>(i * columns_ + j)];
  }
  double operator()(int64_t i, int64_t j) const {
    return values_[static_cast<size_t>(i * columns_ + j)];
  }

  std::span<double> values() { return values_; }
  std::span<const double> values() const { return values_; }
  std::span<double> row(int64_t i) { return rows_at(values(), i, 1); }
  std::span<const double> row(int64_t i) const { return rows_at(values(), i, 1); }

  operator ConstMatrixRef() const { return some_rows(0, rows_); }
  ConstMatrixRef t() const { return some_rows(0, rows_).t(); }
  operator MatrixRef() { return some_rows(0, rows_); }
  MatrixRef some_rows(int64_t first, int64_t count) {
    return {values_.data() + first * columns_, count, columns_};
  }
  ConstMatrixRef some_rows(int64_t first, int64_t count) const {
    return {values_.data() + first * columns_, count, columns_, columns_, 1};
  }

  /// Keeps the first rows.
  void resize_rows(int64_t rows) {
    rows_ = rows;
    values_.resize(static_cast<size_t>(rows * columns_));
  }
  /// Adds as many numbers as the matrix has, row by row.
  void add(std::span<const double> values);
  std::vector<double> column_sums() const;
  /// Subtracts a row of numbers from each row.
  void subtract_from_rows(std::span<const double> row);
  void subtract_column_means();
  /// Multiplies row i by factors[i].
  void scale_rows(std::span<const double> factors);

 private:
  template <typename T>
  std::span<T> rows_at(std::span<T> values, int64_t first, int64_t count) const {
    return values.subspan(static_cast<size_t>(first * columns_),
                          static_cast<size_t>(count * columns_));
  }

  int64_t rows_ = 0, columns_ = 0;
  std::vector<double> values_;
};

double sum(std::span<const double> x);
double dot(std::span<const double> x, std::span<const double> y);
/// 2-norm; of a matrix's values the Frobenius norm.
double norm(std::span<const double> x);
bool all_finite(std::span<const double> x);

}  // namespace vitrine::internal
