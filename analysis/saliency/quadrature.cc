// SPDX-License-Identifier: MIT
#include "analysis/saliency/quadrature.h"

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int kMostPoints = 10000;
constexpr std::array<std::pair<Quadrature, std::string_view>, 4> kNames = {
    {{Quadrature::kGaussLegendre, "gauss-legendre"},
     {Quadrature::kTrapezoid, "trapezoid"},
     {Quadrature::kLeft, "left"},
     {Quadrature::kRight, "right"}}};

/// P_n(x) and its derivative, by the three-term recurrence.
std::pair<double, double> legendre(int n, double x) {
  double before = 1, here = x;
  for (int k = 2; k <= n; ++k)
    before = std::exchange(here, ((2 * k - 1) * x * here - (k - 1) * before) / k);
  return {here, n * (x * here - before) / (x * x - 1)};
}

/// The roots of P_n by Newton's method from their asymptotic places; the weight of a root x is 2 /
/// ((1 - x^2) P_n'(x)^2). (Abramowitz & Stegun 25.4.29.) Moved from [-1, 1] to [0, 1].
std::vector<QuadraturePoint> gauss_legendre(int n) {
  std::vector<QuadraturePoint> points;
  for (int k = 1; k <= n; ++k) {
    double x = -std::cos(std::numbers::pi * (k - 0.25) / (n + 0.5));
    for (int i = 0; i < 8; ++i) {  // converges quadratically: 3 or 4 would do
      const auto [value, slope] = legendre(n, x);
      x -= value / slope;
    }
    const double slope = legendre(n, x).second;
    points.push_back({(1 + x) / 2, 1 / ((1 - x * x) * slope * slope)});
  }
  return points;
}

}  // namespace

std::string_view quadrature_name(Quadrature rule) {
  return kNames[static_cast<size_t>(rule)].second;
}

Quadrature quadrature_from_name(std::string_view name) {
  for (const auto& [rule, known] : kNames) {
    if (name == known) return rule;
  }
  user_error("unknown quadrature '{}': expected gauss-legendre, trapezoid, left or right", name);
}

std::vector<QuadraturePoint> internal::quadrature_points(Quadrature rule, int count) {
  const int fewest = rule == Quadrature::kTrapezoid ? 2 : 1;
  if (count < fewest || count > kMostPoints) {
    user_error("invalid number of steps {} of integrated gradients with {}: expected {}..{}", count,
               quadrature_name(rule), fewest, kMostPoints);
  }
  if (rule == Quadrature::kGaussLegendre) return gauss_legendre(count);
  std::vector<QuadraturePoint> points;
  for (int k = 0; k < count; ++k) {
    if (rule == Quadrature::kTrapezoid) {
      const bool end = k == 0 || k == count - 1;
      points.push_back({k / (count - 1.0), (end ? 0.5 : 1.0) / (count - 1.0)});
    } else {
      points.push_back({(k + (rule == Quadrature::kRight ? 1.0 : 0.0)) / count, 1.0 / count});
    }
  }
  return points;
}

}  // namespace vitrine
