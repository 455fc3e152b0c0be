// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Core>

// Eigen's decompositions, compiled once: a file that includes one takes a minute.

namespace vitrine::internal {

/// x = u diag(values) v^T for x [n, m]: u [n, k], v [m, k], values [k] descending, k = min(n, m).
struct SingularValues {
  Eigen::MatrixXd u;
  Eigen::VectorXd values;
  Eigen::MatrixXd v;
};

SingularValues thin_svd(const Eigen::MatrixXd& x);
/// The values alone, descending.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& x);

/// Of a symmetric matrix [n, n], of which the lower half is read: values [n] ascending, vectors [n,
/// n] in columns in their order, if they were asked for.
struct SymmetricEigen {
  Eigen::VectorXd values;
  Eigen::MatrixXd vectors;
  bool converged = false;
};

SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& matrix, bool with_vectors = true);

}  // namespace vitrine::internal
