// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "vitrine/vitrine.h"

// The model on which the promises are kept, and what "the same" means for them.

namespace vitrine::testing_support {
using namespace internal;

/// Shapes that hit full and partial tiles: a head width that is not a multiple of a vector, an odd
/// vocabulary, more positions than a tile has.
inline Config odd_config() {
  Config config;
  config.layers = 3;
  config.heads = 3;
  config.width = 60;
  config.inner = 100;
  config.vocab = 301;
  config.context = 80;
  return config;
}

inline std::vector<int32_t> tokens(int count, int seed, const Config& config = odd_config()) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((i * 7919 + seed * 104729 + 13) % config.vocab));
  return ids;
}

inline bool same_bits(TensorView a, TensorView b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

}  // namespace vitrine::testing_support
