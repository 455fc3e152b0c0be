// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/analysis/patching.h"

namespace vitrine::internal {

/// The metric of a run of these ids. Throws Error (user) if it is not finite, saying where the run
/// first has a value that is not.
double finite_metric(const PatchMetric& metric, std::span<const float> logits, const Model& model,
                     const std::vector<int32_t>& ids, const Hooks& edits = {});

/// Throws Error (user) for a token outside the vocabulary, and for an answer that is compared with
/// itself.
void check_metric(const PatchMetric& metric, const Config& config);

/// A prompt up to the position where the metric is read, which is then the last. Throws Error
/// (user) for one that is not there.
std::vector<int32_t> read_up_to(std::span<const int32_t> ids, int64_t position,
                                std::string_view what);

/// Two prompts up to where the metric is read.
struct PromptPair {
  std::vector<int32_t> base, other;
};
/// Throws Error (user) for prompts that are the same, and for different lengths, which may be only
/// if an alignment is given.
PromptPair prompt_pair(std::span<const int32_t> clean, std::span<const int32_t> corrupt,
                       int64_t position, PatchDirection direction, bool aligned);

/// The metric of both, as the ends of a scale.
struct MetricScale {
  double clean, corrupt;
  /// So that the corrupt prompt's is 0 and the clean one's 1.
  std::vector<double> rescaled(std::vector<double> values) const;
};
/// Throws Error (user) if they are the same.
MetricScale metric_scale(double base, double other, PatchDirection direction,
                         const PatchMetric& metric);

/// Counts a pass that runs whichever way cells are computed.
void add_whole_run(PatchWork& work, size_t tokens, const Config& config);

}  // namespace vitrine::internal
