// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "analysis/common/matrix.h"
#include "vitrine/analysis/factors.h"

namespace vitrine::internal {

/// [N, M'] without negative numbers, in the precision that activations have.
struct NonNegative {
  std::vector<float> values;
  int64_t rows = 0, columns = 0;
};

struct NmfOptions {
  int components = 1;
  FactorInit init = FactorInit::kRandom;
  uint64_t seed = 0;
  int max_iterations = 500;
  double tolerance = 1e-4;
  std::function<void(int iterations)> see = {};  ///< called after each iteration
};

/// X is about strengths * neurons^T, a component a column.
struct Nmf {
  Matrix strengths;  ///< [N, C]
  Matrix neurons;    ///< [M', C]
  double relative_residual = 0;
  int iterations = 0;
  bool converged = false;
};

/// min ||X - S N^T||_F by coordinate descent, one component of one side at a time: for entry s with
/// gradient g and second derivative h, s = max(s - g / h, 0). (Cichocki & Phan 2009, HALS;
/// scikit-learn's `cd` in its cyclic order.) X has a number above 0.
Nmf factorise(const NonNegative& x, const NmfOptions& options);

}  // namespace vitrine::internal
