// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

// What is counted and summed over one row of logits.

namespace vitrine::internal::cpu {

struct LogitSums {
  float highest = 0.0f;
  double total = 0.0;     ///< sum of e = exp(x - highest)
  double weighted = 0.0;  ///< sum of e (x - highest)
};

LogitSums logit_sums(std::span<const float> logits);

/// seed = p (plain + by_log log p) for the softmax p of the logits whose sums are given.
void seed_logits(std::span<const float> logits, const LogitSums& sums, float plain, float by_log,
                 float* seed);

/// The `k` best, best first; equal logits: the smaller id first. After the last logit: id -1 and
/// -infinity.
void top_logits(std::span<const float> logits, int k, int32_t* ids, float* values);

/// How many are strictly greater than `x`.
int32_t count_greater(std::span<const float> logits, float x);

/// Whether a softmax of the logits exists: none is NaN or +infinity, and one is finite.
bool is_distribution(std::span<const float> logits);

/// Sum of exp(x - highest), to double precision.
double exact_exp_sum(std::span<const float> scores, float highest);

}  // namespace vitrine::internal::cpu
