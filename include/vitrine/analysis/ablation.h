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

// Ablation: what the model's answer loses without one component.

/// What a component's activations become.
enum class Ablation : uint8_t {
  kZero,      ///< 0
  kMean,      ///< their mean over all positions of other prompts; not for maps
  kResample,  ///< what they are at the same position of another prompt
};

/// "zero", "mean", "resample".
std::string_view ablation_name(Ablation ablation);
/// The inverse. Throws Error (user) listing the names.
Ablation ablation_from_name(std::string_view name);

struct AblationOptions {
  Ablation ablation = Ablation::kZero;
  PatchMetric metric = {};
  PatchCells cells = {.sites = {Site::kZ},
                      .over = PatchOver::kHeads};  ///< heads; {kMlpOut}, kWhole: MLPs
  Batch others = {};  ///< kMean: any number of prompts; kResample: one, as long as the prompt (up
                      ///< to `position`)
  int64_t position = -1;         ///< where the metric is read; negative from the end
  int64_t batch_tokens = 512;    ///< as PatchOptions::batch_tokens
  Progress* progress = nullptr;  ///< counts cells; null: nobody wants to know
};

struct Ablations {
  double value = 0;              ///< the metric of the whole model
  std::vector<PatchGrid> grids;  ///< `effects`: the metric without the component minus `value`
  PatchWork work;
};

/// Runs the prompt once, and from each component on again without it. Throws Error (user) as
/// Model::forward does; for other prompts that are missing, too many or of another length; and for
/// sites, layers, positions, heads or neurons that are not there.
Ablations ablate(const Model& model, std::span<const int32_t> ids, const AblationOptions& options);

}  // namespace vitrine
