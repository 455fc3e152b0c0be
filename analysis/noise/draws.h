// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vitrine/analysis/noise.h"

namespace vitrine::internal {

/// Where words and sentences of a text begin.
struct TextParts {
  std::vector<int64_t> words, sentences;
};
TextParts parts_of(const Tokenizer* tokenizer, std::span<const int32_t> ids);

/// Throws Error (user) for options outside their ranges.
void check_noise_options(const NoiseOptions& options);

/// round(budget T), 1 at least; 0 for a budget of 0.
int64_t budget_tokens(double budget, size_t tokens);

/// Maps a uniform number in [0, 1) to a length: the inverse of the Poisson distribution's function.
int64_t poisson_length(double mean, double uniform);

/// As the public one, which finds the parts itself.
NoisedPrompt noised_prompt(const TextParts& parts, std::span<const int32_t> ids, NoiseKind kind,
                           int repetition, const NoiseOptions& options);

}  // namespace vitrine::internal
