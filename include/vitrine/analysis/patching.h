// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/analysis/answer_tokens.h"
#include "vitrine/gradients.h"
#include "vitrine/hooks.h"
#include "vitrine/indices.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"
#include "vitrine/sites.h"

namespace vitrine {

// Activation patching: finds the activations that determine the model's answer. One run (the base)
// is repeated with some of its activations replaced by those of another run, and a metric of its
// output is recorded.
//
// The base runs once. Computation that a replacement cannot affect is skipped: each patched run
// starts at the block and the position of its first changed activation, many patched runs share a
// forward pass, and cells where both runs hold the same bits need no run. Each cell equals a full
// run with that edit, to the bit where the model's arithmetic guarantees it (ARCHITECTURE.md;
// hook_result is the exception).

/// Metric, computed from the logits at one position.
struct PatchMetric {
  enum class Kind : uint8_t {
    kLogitDifference,  ///< logit(answer) - logit(wrong)
    kLogit,            ///< logit(answer)
    kLogProb,          ///< log p(answer), in nats
    kProb,             ///< p(answer)
  };
  Kind kind = Kind::kLogitDifference;
  /// Of several tokens logits and log-probabilities are means, probabilities sums.
  AnswerTokens answer = 0;
  AnswerTokens wrong = 0;  ///< used by kLogitDifference only

  /// Metric of logits [V], in double precision.
  double of(std::span<const float> logits) const;
  /// The same metric as a target of backward().
  Target target() const;
};

/// "logit-difference", "logit", "log-prob", "prob".
std::string_view patch_metric_name(PatchMetric::Kind kind);
/// Inverse of patch_metric_name(). Throws Error (user) that lists the names.
PatchMetric::Kind patch_metric_from_name(std::string_view name);

/// Selects the base run. (Heimersheim & Nanda 2024 discuss how the two differ.)
enum class PatchDirection : uint8_t {
  /// Base: corrupt run, with clean activations; finds activations sufficient for the answer.
  kDenoise,
  /// Base: clean run, with corrupt activations; finds activations necessary for the answer.
  kNoise,
};

/// Meaning of a grid's columns; its rows are layers.
enum class PatchOver : uint8_t {
  kPositions,  ///< one position per column, the site's whole row
  kHeads,      ///< one head per column, at all selected positions
  kNeurons,    ///< one element of the row per column, at all selected positions
  kWhole,      ///< a single column: the whole site at all selected positions
};

/// Amount of computation. The unit is one token through one block.
struct PatchWork {
  int64_t cells = 0;     ///< number of patched runs
  int64_t computed = 0;  ///< computed units, including the base run and the other run
  int64_t naive = 0;     ///< units of a full run per cell, including those two runs
};

/// Cells of a sweep. In all lists negative numbers count from the last, and empty means all.
struct PatchCells {
  std::vector<Site> sites = {Site::kResidPre};  ///< per-layer sites; one grid per site
  PatchOver over = PatchOver::kPositions;
  Indices<int> layers = {};
  /// Positions of the base: the columns of kPositions, otherwise the positions that a cell
  /// replaces.
  Indices<int64_t> positions = {};
  Indices<int> heads = {};        ///< columns of kHeads
  Indices<int64_t> neurons = {};  ///< columns of kNeurons
  /// Number of layers that a cell replaces, centred on its row's layer and clipped at the model's
  /// ends. (Meng 2022, for MLPs.)
  int window = 1;
};

/// Results at one site.
struct PatchGrid {
  Site site = Site::kResidPre;
  PatchOver over = PatchOver::kPositions;
  std::vector<int> layers = {};       ///< [R]
  std::vector<int64_t> columns = {};  ///< [C] positions, heads or neurons; {0} for kWhole

  std::vector<double> values = {};   ///< [R, C] metric; empty if not requested
  std::vector<double> effects = {};  ///< [R, C] values on the scale that the result defines
  /// [R, C] attribution patching's first-order estimate of `effects`; empty if not requested
  std::vector<double> estimates = {};

  size_t cell(size_t row, size_t column) const { return row * columns.size() + column; }
  /// Pearson correlation of effects and estimates; NaN if either is empty or constant.
  double correlation() const;
};

struct PatchOptions {
  PatchMetric metric = {};
  PatchDirection direction = PatchDirection::kDenoise;
  PatchCells cells = {};
  /// Pairs of corresponding positions (clean, corrupt), each used at most once, for prompts of
  /// different lengths. Unpaired positions are not replaced. Empty: equal positions correspond.
  /// Invalid for maps, whose keys would need the same alignment.
  std::vector<std::pair<int64_t, int64_t>> alignment = {};
  /// Position of each prompt where the metric is read; negative counts from its end. Later
  /// positions have no effect.
  int64_t position = -1;
  /// Edits of all passes, clean and corrupt; captures are ignored. A cell's change comes after
  /// them.
  Hooks edits = {};
  bool exact = true;  ///< run every cell
  /// Estimates the cells by (a_other - a_base) . d metric / d a at the base, summed over the
  /// replaced activations (Nanda 2023, "Attribution patching"). One backward pass covers all cells
  /// of all sites.
  bool attribution = false;
  /// Maximum tokens per forward pass, which runs whole cells and at least one. Results do not
  /// depend on it.
  int64_t batch_tokens = 512;
  /// Optional progress callback (counts cells); null disables reporting.
  Progress* progress = nullptr;
};

struct Patching {
  double clean = 0, corrupt = 0;  ///< metric of the two prompts; their effects are 1 and 0
  std::vector<PatchGrid> grids;   ///< in the order of the requested sites
  PatchWork work;                 ///< forward passes only
};

/// Runs both prompts and every cell. Throws Error (user) as Model::forward does; for prompts of
/// different lengths without an alignment; for prompts with equal metrics, because effects are
/// undefined then; and for sites, layers, positions, heads or neurons out of range.
Patching patch(const Model& model, std::span<const int32_t> clean, std::span<const int32_t> corrupt,
               const PatchOptions& options);

}  // namespace vitrine
