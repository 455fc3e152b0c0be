// SPDX-License-Identifier: MIT
#include "analysis/common/decompositions.h"

#include <Eigen/Eigenvalues>
#include <Eigen/SVD>

namespace vitrine::internal {

SingularValues thin_svd(const Eigen::MatrixXd& x) {
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(x, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return {svd.matrixU(), svd.singularValues(), svd.matrixV()};
}

Eigen::VectorXd singular_values(const Eigen::MatrixXd& x) {
  return Eigen::BDCSVD<Eigen::MatrixXd>(x).singularValues();
}

SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& matrix, bool with_vectors) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
      matrix, with_vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
  SymmetricEigen result{solver.eigenvalues(), {}, solver.info() == Eigen::Success};
  if (with_vectors && result.converged) result.vectors = solver.eigenvectors();
  return result;
}

}  // namespace vitrine::internal
