// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/analysis/patching.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Ablation: how a metric of the output changes when one component is removed.

/// Replacement for a component's activations.
enum class Ablation : uint8_t {
  kZero,      ///< 0
  kMean,      ///< mean over all positions of other prompts; not for maps
  kResample,  ///< activations at the same position of another prompt
};

/// "zero", "mean", "resample".
std::string_view ablation_name(Ablation ablation);
/// Inverse of ablation_name(). Throws Error (user) that lists the names.
Ablation ablation_from_name(std::string_view name);

struct AblationOptions {
  Ablation ablation = Ablation::kZero;
  PatchMetric metric = {};
  /// Heads; {kMlpOut}, kWhole: MLPs.
  PatchCells cells = {.sites = {Site::kZ}, .over = PatchOver::kHeads};
  /// kMean: any number of prompts; kResample: one prompt of the same length (up to `position`)
  Batch others = {};
  int64_t position = -1;       ///< position where the metric is read; negative counts from the end
  Hooks edits = {};            ///< see PatchOptions::edits
  int64_t batch_tokens = 512;  ///< see PatchOptions::batch_tokens
  /// Optional progress callback (counts cells); null disables reporting.
  Progress* progress = nullptr;
};

struct Ablations {
  double value = 0;              ///< metric of the unchanged model
  std::vector<PatchGrid> grids;  ///< `effects`: metric without the component minus `value`
  PatchWork work;
};

/// Runs the prompt once, then resumes that run from each component without it. Throws Error (user)
/// as Model::forward does; for other prompts that are missing, too many or of another length; and
/// for sites, layers, positions, heads or neurons out of range.
Ablations ablate(const Model& model, std::span<const int32_t> ids, const AblationOptions& options);

}  // namespace vitrine
