// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vitrine/analysis/patching.h"
#include "vitrine/indices.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Causal tracing (Meng et al. 2022, "Locating and editing factual associations in GPT",
// section 2.1): noise is added to the subject's token embeddings, and one clean activation at a
// time is restored.

struct TraceOptions {
  PatchMetric metric = {.kind = PatchMetric::Kind::kProb};
  /// Positions whose embeddings get noise; negative counts from the end; at least one.
  Indices<int64_t> subject = {};
  int draws = 10;      ///< number of noise draws, 1..1000000; results are means over them
  double noise = 3.0;  ///< standard deviation of the noise, in multiples of `spread`
  /// Unit of `noise`. nullopt: the standard deviation of all elements of the prompt's own token
  /// embeddings. (Meng et al. measured it over a sample of text.)
  std::optional<double> spread = {};
  uint64_t seed = 0;  ///< the noise depends only on the seed, the draw and the index in the subject
  /// Activations to restore; `.window` restores several layers.
  PatchCells cells = {.sites = {Site::kResidPost}};
  int64_t position = -1;       ///< position where the metric is read; negative counts from the end
  Hooks edits = {};            ///< see PatchOptions::edits
  int64_t batch_tokens = 512;  ///< see PatchOptions::batch_tokens
  /// Optional progress callback (counts cells of all draws); null disables reporting.
  Progress* progress = nullptr;
};

struct Trace {
  double clean = 0;              ///< metric without noise
  double corrupt = 0;            ///< metric with noise, mean over the draws
  std::vector<double> draws;     ///< [draws] metric with noise, per draw
  std::vector<int64_t> subject;  ///< positions with noise, ascending
  double deviation = 0;          ///< standard deviation of the noise
  /// `values`: means over the draws; `effects`: values - corrupt, the indirect effect
  std::vector<PatchGrid> grids;
  PatchWork work;
};

/// Throws Error (user) as Model::forward does; for a subject that is empty or out of range; for
/// noise that is negative or not finite; and for cells that patch() rejects.
Trace causal_trace(const Model& model, std::span<const int32_t> ids, const TraceOptions& options);

}  // namespace vitrine
