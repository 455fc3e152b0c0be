#include "analysis/saliency_noise.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/random.h"

namespace vitrine {
namespace {

/// Of a standard normal distribution, by the method of Box & Muller (1958): a function of the key and the index alone.
double normal(uint64_t key, uint64_t index) {
  const double u = 1.0 - unit_interval(mix64(key + 2 * index)), v = unit_interval(mix64(key + 2 * index + 1));
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

}  // namespace

void add_noise(const SmoothGradOptions& options, size_t sample, std::span<double> embeddings) {
  const auto [low, high] = std::minmax_element(embeddings.begin(), embeddings.end());
  const double deviation = options.noise * (*high - *low);
  const uint64_t key = mix64(mix64(options.seed) + sample);
  for (size_t i = 0; i < embeddings.size(); ++i) embeddings[i] += deviation * normal(key, i);
}

}  // namespace vitrine
