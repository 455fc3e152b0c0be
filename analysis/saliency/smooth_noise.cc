// SPDX-License-Identifier: MIT
#include "analysis/saliency/smooth_noise.h"

#include <algorithm>

#include "base/random.h"

namespace vitrine::internal {

void add_noise(const SmoothGradOptions& options, size_t sample, std::span<double> embeddings) {
  const auto [low, high] = std::minmax_element(embeddings.begin(), embeddings.end());
  const double deviation = options.noise * (*high - *low);
  const uint64_t key = mix64(mix64(options.seed) + sample);
  for (size_t i = 0; i < embeddings.size(); ++i)
    embeddings[i] += deviation * standard_normal(key, i);
}

}  // namespace vitrine::internal
