// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vitrine/generate.h"

namespace vitrine::internal {

/// What a row of logits becomes before a token is chosen from it, as far as the backends' sampling
/// does not do it: penalties and exclusions, which depend on the tokens before, and the filters
/// min_p and typical_p. The order is that of Hugging Face's processors and warpers. On the host.
class LogitsProcessor {
 public:
  explicit LogitsProcessor(const GenerateOptions& options) : options_(options) {}

  /// The first option that needs it, as a member is named; empty if rows are sampled as they are.
  std::string needed_by() const;
  /// What is left for the backend's sampling: with min_p or typical_p all filters have been applied
  /// here, as they come last.
  SamplingOptions remaining() const;
  /// Replaces a row of logits. `fresh` are the tokens generated after `prompt`. A row that is not a
  /// distribution stays as it is. Throws Error (user) if no token is left, or a penalty makes one
  /// infinite.
  void apply(std::span<float> logits, std::span<const int32_t> prompt,
             std::span<const int32_t> fresh) const;

 private:
  bool filters() const;
  void penalise(std::span<float> logits, std::span<const int32_t> prompt,
                std::span<const int32_t> fresh) const;
  void exclude(std::span<float> logits, std::span<const int32_t> prompt,
               std::span<const int32_t> fresh) const;
  void filter(std::span<float> logits) const;

  const GenerateOptions& options_;
};

}  // namespace vitrine::internal
