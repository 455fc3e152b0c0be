// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine {

/// How spans of whole words are drawn, as SpanBERT draws them (Joshi 2020, section 3.1).
struct SpanOptions {
  int draws = 50;        ///< 1..1000000
  double budget = 0.15;  ///< share of the input's tokens that a draw masks, above 0 and at most 1;
                         ///< one token at least
  double p =
      0.2;  ///< lengths in words are geometric, p (1 - p)^(k - 1), for k up to `longest`; mean 3.80
  int longest = 10;
  uint64_t seed = 0;
};

}  // namespace vitrine
