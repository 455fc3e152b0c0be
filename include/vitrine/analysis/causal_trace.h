// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vitrine/analysis/patching.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Causal tracing (Meng et al. 2022, "Locating and editing factual associations in GPT",
// section 2.1): the subject's token embeddings are hidden under noise, and one of the other
// activations at a time is put back to what it was.

struct TraceOptions {
  PatchMetric metric = {.kind = PatchMetric::Kind::kProb};
  std::vector<int64_t> subject =
      {};          ///< positions whose embeddings get noise; negative from the end; at least one
  int draws = 10;  ///< of noise, 1..1000000; results are means over them
  double noise = 3.0;  ///< its standard deviation, over that of `spread`
  /// What it is measured by: the standard deviation of all elements of the prompt's own token
  /// embeddings. (Meng et al. took it over a sample of text.) Nothing: that; else a number of the
  /// caller's.
  std::optional<double> spread = {};
  uint64_t seed = 0;  ///< noise depends on it, the draw, and the place in the subject alone
  PatchCells cells = {
      .sites = {Site::kResidPost}};  ///< what is put back; .window for runs of layers
  int64_t position = -1;             ///< where the metric is read; negative from the end
  int64_t batch_tokens = 512;        ///< as PatchOptions::batch_tokens
  Progress* progress = nullptr;      ///< counts cells of all draws; null: nobody wants to know
};

struct Trace {
  double clean = 0;           ///< the metric without noise
  double corrupt = 0;         ///< with it, mean over the draws
  std::vector<double> draws;  ///< [draws] of each
  double deviation = 0;       ///< the noise's standard deviation
  std::vector<PatchGrid>
      grids;  ///< `values`: means over the draws; `effects`: values - corrupt, the indirect effect
  PatchWork work;
};

/// Throws Error (user) as Model::forward does; for a subject that is empty or not there; for noise
/// that is negative or no number; and for what patch() refuses of cells.
Trace causal_trace(const Model& model, std::span<const int32_t> ids, const TraceOptions& options);

}  // namespace vitrine
