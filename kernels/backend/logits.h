// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend/mat.h"
#include "kernels/backend/weights.h"

namespace vitrine::internal {

/// What of the unembedding a caller wants to keep of each row, without ever holding [rows, V].
///
/// A row is a distribution if no logit is NaN or +infinity and one is finite. Of any other row lse
/// and entropy are NaN, top_ids -1, top_logits NaN and watch_ranks 0; watch_logits are as they are.
struct LogitStatsArgs {
  Mat x{};  ///< [rows, D], already through the final layernorm if there is to be one
  const PackedMatrix* unembed = nullptr;
  const float* bias = nullptr;  ///< [V] of the unembedding, or null
  Mat logits{};                 ///< instead of these three: [rows, V] float32 as they are
  int top_k = 0;                ///< how many of the best tokens to keep
  int32_t* top_ids = nullptr;   ///< [rows, top_k], best first; equal logits: the smaller id first
  float* top_logits = nullptr;  ///< [rows, top_k]
  float* lse = nullptr;         ///< [rows]: log of the sum of exp of all logits
  float* entropy = nullptr;     ///< optional [rows]: -sum p log p, in nats
  std::span<const int32_t>
      watch{};                    ///< [rows, n] ids to look up in each row, n = watch.size() / rows
  float* watch_logits = nullptr;  ///< [rows, n]
  int32_t* watch_ranks = nullptr;  ///< [rows, n]: 1 + the number of strictly greater logits
};

struct SampleArgs {
  Mat logits{};                       ///< [rows, V], left as it is
  float temperature = 1.0f;           ///< 0: greedy (the smallest id among equals)
  int top_k = 0;                      ///< 0: no limit
  float top_p = 1.0f;                 ///< 1: no limit; the token that crosses the threshold stays
  std::span<const double> uniform{};  ///< [rows] numbers in [0, 1), one drawn for each row
  std::span<int32_t> ids{};  ///< [rows] the result; -1 for a row that is not a distribution (see
                             ///< LogitStatsArgs)
};

/// What is read off logits.
class LogitOps {
 public:
  virtual void logit_stats(const LogitStatsArgs& args) = 0;
  virtual void sample(const SampleArgs& args) = 0;

 protected:
  ~LogitOps() = default;
};

}  // namespace vitrine::internal
