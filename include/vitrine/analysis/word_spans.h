// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine {

/// Sampling of spans of whole words, as in SpanBERT (Joshi 2020, section 3.1).
struct SpanOptions {
  int draws = 50;  ///< number of draws, 1..1000000
  /// Share of the input's tokens that a draw masks, > 0 and <= 1; at least one token.
  double budget = 0.15;
  /// Probability p (1 - p)^(k - 1) of a span of k words, k <= `longest`; mean 3.80 by default.
  double p = 0.2;
  int longest = 10;
  uint64_t seed = 0;
};

}  // namespace vitrine
