// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "vitrine/analysis/saliency.h"

namespace vitrine::internal {

/// One sequence that goes through the model: an input with some of its embeddings replaced.
struct SaliencyInput {
  std::vector<int32_t> ids;
  std::vector<int64_t> positions = {};  ///< whose embeddings are replaced, ascending; empty: none
  Tensor embeddings = {};               ///< [positions, D]
  int32_t target =
      -1;  ///< negative: the token that the model ranks first, where nothing is differentiated
  std::optional<int32_t> contrast = {};  ///< of all inputs of a call, or of none
};

/// The model's prediction after an input.
struct SaliencyReading {
  int32_t target = 0, rank = 0;
  double logit = 0, log_prob = 0;
  double value = 0;           ///< f
  std::vector<float> hidden;  ///< [D] the final layernorm's output at the last position
};

/// Throws Error (user) for edits that an analysis of changed embeddings cannot take: of hook_embed,
/// of `logits`, narrowed to sequences. `analysis` names it.
void check_input_edits(const Hooks& edits, const Config& config, std::string_view analysis);

/// Runs many inputs a few at a time. What a call gives does not depend on how many those are,
/// because sequences do not mix.
class SaliencyRuns {
 public:
  /// Throws Error (user) for edits that it cannot take.
  SaliencyRuns(const Model& model, const SaliencyOptions& options);

  /// How many inputs will run from here on, and what they are for, to be shown as progress.
  void expect(uint64_t total, std::string_view label);

  using Make = std::function<SaliencyInput(size_t)>;
  /// The gradient of f with respect to the embeddings of each of `count` inputs: `use` gets them in
  /// order, [n, D].
  void gradients(size_t count, const Make& make,
                 const std::function<void(size_t, std::span<const float>)>& use);
  /// The reading of each of `count` inputs, in order.
  void readings(size_t count, const Make& make,
                const std::function<void(size_t, SaliencyReading)>& use);

 private:
  void in_chunks(size_t count, const Make& make,
                 const std::function<void(size_t, const std::vector<SaliencyInput>&)>& run);
  Hooks hooks_for(const std::vector<SaliencyInput>& inputs) const;
  void read(const std::vector<SaliencyInput>& inputs, size_t first,
            const std::function<void(size_t, SaliencyReading)>& use);

  const Model& model_;
  const SaliencyOptions& options_;
  Hooks edits_;
  uint64_t done_ = 0, total_ = 0;
  std::string_view label_;
};

}  // namespace vitrine::internal
