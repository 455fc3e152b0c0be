// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

// How far a float32 result may lie from the double-precision oracle: the one table that every test
// reads.
//
// A tolerance is  unit * (fixed + growth * sqrt(n)) * magnitude, where unit = 2^-24 is float32's
// rounding error, n the length of the reduction and `magnitude` the sum of the absolute terms (for
// element functions: the size of the result). Rounding errors of a sum behave as a random walk,
// hence the root; `growth` 3 puts a failure by chance of one element below 1e-8. Weights in f16 and
// bf16 are widened exactly and accumulated in float32, and the oracle gets the rounded weights, so
// the stored type does not widen a tolerance.

namespace vitrine::testing {

struct Tolerance {
  double fixed;
  double growth;

  double operator()(int64_t n, double magnitude) const {
    constexpr double kUnit = 0x1p-24;
    constexpr double kSubnormal = 0x1p-149;  // results near underflow have an absolute error
    return kUnit * (fixed + growth * std::sqrt(static_cast<double>(n))) * magnitude +
           2 * kSubnormal;
  }
};

namespace tolerance {

/// A chain of fused multiply-adds, then at most three roundings (bias, activation, residual).
inline constexpr Tolerance kLinear{4, 3};
/// Element functions: 2.5 units in the last place of the result (a unit in the last place is up to
/// two rounding units).
inline constexpr Tolerance kActivation{5, 0};
/// An activation after a sum: its slope is at most 1.13, so it passes the sum's error on.
inline constexpr double kSteepestActivation = 1.13;
/// Mean and variance are summed in double: roundings of mean, difference, reciprocal, product,
/// weight, bias.
inline constexpr Tolerance kLayerNorm{8, 0};
/// Mean of x and the root: relative to the scale plus the mean's rounding.
inline constexpr Tolerance kScale{4, 0};
/// A dot product over the head width, times the scale.
inline constexpr Tolerance kScores{4, 3};
/// Softmax from exact scores: exp, a sum over positions, reciprocal, product.
inline constexpr Tolerance kSoftmax{8, 1};
/// exp(s) passes an absolute error of the score on as a relative one; both are added by the test.
inline constexpr Tolerance kMix{4, 3};
/// lse and entropy are summed in double from exp in float32.
inline constexpr Tolerance kLogSumExp{8, 0};
/// A gradient's dot product with a weight's outputs; then at most three roundings (slope, product
/// with it, residual).
inline constexpr Tolerance kLinearBackward{4, 3};
/// The slope of an activation, a share of its two terms' sizes: they cancel where a GELU turns. The
/// exponent of each is rounded before exp, which weighs its size.
inline constexpr Tolerance kSlope{8, 0};
/// Like kLayerNorm, with the sums over a row in double: roundings of mean, difference, both
/// reciprocals, both products, their sum, its mean.
inline constexpr Tolerance kLayerNormBackward{12, 0};
/// A gradient with respect to a scale: a sum in double of terms of three roundings.
inline constexpr Tolerance kScaleBackward{8, 0};
/// dP, a dot product over the head width. On a device one of float32 is three of TF32, which leave
/// out up to 3 units and are each cut off at 2.
inline constexpr Tolerance kPatternBackward{6, 3};
/// P dP and P (dP - sum P dP), once P and dP are there: three roundings and a sum over the keys.
inline constexpr Tolerance kSoftmaxBackward{4, 3};
/// Seeds: exp of a float32 log-probability (its size, rounded, is the error of exp), a sum in
/// double, two products.
inline constexpr Tolerance kLogitTarget{8, 0};
/// Edits: one rounding; a projection sums in double and rounds three times.
inline constexpr Tolerance kEdit{4, 0};

}  // namespace tolerance

}  // namespace vitrine::testing
