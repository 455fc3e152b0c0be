// SPDX-License-Identifier: MIT
#include "analysis/common/linalg.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace vitrine::internal {
namespace {

// Sums of at most 40 products of numbers below 1 in two orders.
constexpr double kRounding = 1e-13;

Matrix random_matrix(int64_t rows, int64_t columns, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  Matrix x(rows, columns);
  for (double& value : x.values()) value = uniform(generator);
  return x;
}

double at(ConstMatrixRef x, int64_t i, int64_t j) {
  return x.data[i * x.row_stride + j * x.column_stride];
}

double product_at(ConstMatrixRef a, ConstMatrixRef b, int64_t i, int64_t j) {
  double sum = 0;
  for (int64_t k = 0; k < a.columns; ++k) sum += at(a, i, k) * at(b, k, j);
  return sum;
}

TEST(Linalg, MultipliesMatricesInEitherOrientation) {
  const Matrix a = random_matrix(7, 40, 1), at_ = random_matrix(40, 7, 2),
               b = random_matrix(40, 5, 3), bt = random_matrix(5, 40, 4);
  for (const ConstMatrixRef left : {ConstMatrixRef(a), at_.t()}) {
    for (const ConstMatrixRef right : {ConstMatrixRef(b), bt.t()}) {
      Matrix sum = random_matrix(7, 5, 5);
      const Matrix before = sum, whole = product(left, right);
      add_product(sum, left, right, -2);
      for (int64_t i = 0; i < 7; ++i) {
        for (int64_t j = 0; j < 5; ++j) {
          const double wanted = product_at(left, right, i, j);
          EXPECT_NEAR(whole(i, j), wanted, kRounding);
          EXPECT_NEAR(sum(i, j), before(i, j) - 2 * wanted, kRounding);
        }
      }
    }
  }
}

TEST(Linalg, WritesAndReadsSomeRowsOnly) {
  const Matrix a = random_matrix(9, 6, 1), b = random_matrix(6, 4, 2);
  Matrix out(9, 4);
  add_product(out.some_rows(3, 2), a.some_rows(5, 2), b);
  for (int64_t i = 0; i < 9; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      const bool written = i == 3 || i == 4;
      EXPECT_NEAR(out(i, j), written ? product_at(a, b, i + 2, j) : 0, kRounding);
    }
  }
}

TEST(Linalg, AddsGramMatricesToTheLowerHalf) {
  const Matrix x = random_matrix(11, 6, 1);
  Matrix gram(6, 6);
  for (double& value : gram.values()) value = 3;
  add_gram(gram.values(), x);
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t j = 0; j < 6; ++j)
      EXPECT_NEAR(gram(i, j), j <= i ? 3 + product_at(x.t(), x, i, j) : 3, kRounding);
  }
  mirror_lower(gram);
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t j = 0; j < 6; ++j) EXPECT_EQ(gram(i, j), gram(j, i));
  }
}

TEST(Linalg, SolvesForSeveralRightSides) {
  const Matrix x = random_matrix(30, 8, 1), wanted = random_matrix(8, 3, 2);
  Matrix a = product(x.t(), x);
  const Matrix found = solve_positive_definite(a, product(a, wanted));
  for (int64_t i = 0; i < 8; ++i) {
    for (int64_t j = 0; j < 3; ++j) EXPECT_NEAR(found(i, j), wanted(i, j), 1e-11);
  }
}

void expect_orthonormal_rows(const Matrix& x) {
  const Matrix gram = product(x, x.t());
  for (int64_t i = 0; i < gram.rows(); ++i) {
    for (int64_t j = 0; j < gram.columns(); ++j) EXPECT_NEAR(gram(i, j), i == j, kRounding);
  }
}

TEST(Linalg, SingularVectorsMakeTheMatrixAgain) {
  for (const auto& [rows, columns] : {std::pair(40, 9), std::pair(9, 40), std::pair(25, 25)}) {
    const Matrix x = random_matrix(rows, columns, 1);
    const SingularValues svd = thin_svd(x);
    const int64_t k = std::min(rows, columns);
    ASSERT_EQ(std::ssize(svd.values), k);
    ASSERT_EQ(svd.u.columns(), rows);
    ASSERT_EQ(svd.v.columns(), columns);
    expect_orthonormal_rows(svd.u);
    expect_orthonormal_rows(svd.v);
    EXPECT_TRUE(std::is_sorted(svd.values.rbegin(), svd.values.rend()));
    Matrix scaled = svd.v;
    scaled.scale_rows(svd.values);
    const Matrix again = product(svd.u.t(), scaled);
    for (size_t i = 0; i < x.values().size(); ++i)
      EXPECT_NEAR(again.values()[i], x.values()[i], kRounding);
    const std::vector<double> alone = singular_values(x);
    for (size_t i = 0; i < alone.size(); ++i) EXPECT_NEAR(alone[i], svd.values[i], kRounding);
  }
}

TEST(Linalg, EigenvectorsAreRowsInTheOrderOfTheirValues) {
  const Matrix x = random_matrix(12, 12, 1);
  const Matrix symmetric = product(x, x.t());
  const SymmetricEigen eigen = symmetric_eigen(symmetric);
  ASSERT_TRUE(eigen.converged);
  EXPECT_TRUE(std::is_sorted(eigen.values.rbegin(), eigen.values.rend()));
  expect_orthonormal_rows(eigen.vectors);
  const Matrix turned = product(eigen.vectors, symmetric);
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t j = 0; j < 12; ++j)
      EXPECT_NEAR(turned(i, j), eigen.values[static_cast<size_t>(i)] * eigen.vectors(i, j), 1e-12);
  }
  const SymmetricEigen alone = symmetric_eigen(symmetric, false);
  EXPECT_TRUE(alone.vectors.empty());
  for (size_t i = 0; i < 12; ++i) EXPECT_NEAR(alone.values[i], eigen.values[i], 1e-12);
}

}  // namespace
}  // namespace vitrine::internal
