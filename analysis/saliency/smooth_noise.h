// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "vitrine/analysis/saliency.h"

namespace vitrine::internal {

/// Adds a sample of SmoothGrad's noise to the embeddings of an input: Gaussian, of a standard
/// deviation of options.noise times the distance from the smallest to the largest element. A
/// function of the seed, the sample and the place in `embeddings` alone.
void add_noise(const SmoothGradOptions& options, size_t sample, std::span<double> embeddings);

}  // namespace vitrine::internal
