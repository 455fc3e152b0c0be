// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/common/matrix.h"

namespace vitrine::internal {

/// Of each observation w = fweight * aweight, and w * aweight, which the divisor needs.
struct ObservationWeights {
  std::vector<double> w, wa;
};
/// Throws Error (user) for as many as there are not observations, and for one that is negative or
/// not finite.
ObservationWeights observation_weights(int64_t count, std::span<const int64_t> fweights,
                                       std::span<const double> aweights);

/// [variables] of observations as rows; `weight` is the sum of w.
std::vector<double> weighted_mean(const Matrix& x, std::span<const double> w, double weight);

/// numpy.cov's, of sum(w) and sum(w * aweights). Throws Error (user) for one that is not above 0.
double covariance_divisor(double weight, double weight_a, int64_t ddof);

}  // namespace vitrine::internal
