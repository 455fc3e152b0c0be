// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "vitrine/analysis/saliency.h"

namespace vitrine::internal {

/// The integral of a function over [0, 1] is about sum_k weight_k * function(point_k); the weights
/// add up to 1.
struct QuadraturePoint {
  double point;
  double weight;
};

/// Ascending points. Throws Error (user) for a count outside 1..10000, or below 2 for the
/// trapezoid.
std::vector<QuadraturePoint> quadrature_points(Quadrature rule, int count);

}  // namespace vitrine::internal
