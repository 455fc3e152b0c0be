// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/gradients.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"
#include "vitrine/sites.h"

namespace vitrine {

// Activation patching: which activations carry what makes the model answer as it does. One run (the
// base) is repeated with some of its activations replaced by those of another run, and a number of
// its output is watched.
//
// The base runs once. What a replacement cannot reach is not computed again: each patched run
// starts at the block and the position of its first changed number, many of them go through the
// model at once, and where the two runs hold the same bits nothing runs. Every cell is the number
// that a whole run with that edit gives, to the bit where the model's arithmetic promises it
// (ARCHITECTURE.md; hook_result is the exception there and here).

/// The number that is watched, of the logits at one position.
struct PatchMetric {
  enum class Kind : uint8_t {
    kLogitDifference,  ///< logit(answer) - logit(wrong)
    kLogit,            ///< logit(answer)
    kLogProb,          ///< log p(answer), in nats
    kProb,             ///< p(answer)
  };
  Kind kind = Kind::kLogitDifference;
  int32_t answer = 0;
  int32_t wrong = 0;  ///< kLogitDifference

  /// From logits [V], in double precision.
  double of(std::span<const float> logits) const;
  /// The same number for backward().
  Target target() const;
};

/// "logit-difference", "logit", "log-prob", "prob".
std::string_view patch_metric_name(PatchMetric::Kind kind);
/// The inverse. Throws Error (user) listing the names.
PatchMetric::Kind patch_metric_from_name(std::string_view name);

/// Which run is the base. (Heimersheim & Nanda 2024: the two ask different questions.)
enum class PatchDirection : uint8_t {
  kDenoise,  ///< the corrupt run, with activations of the clean one: what is enough to restore the
             ///< answer?
  kNoise,    ///< the clean run, with activations of the corrupt one: what is needed for it?
};

/// What the columns of a grid are; its rows are layers.
enum class PatchOver : uint8_t {
  kPositions,  ///< one position each: all of the site's row
  kHeads,      ///< one head each, at all positions asked for
  kNeurons,    ///< one element of the row each, at all positions asked for
  kWhole,      ///< a single column: the whole site at all positions asked for
};

/// How much was computed: one unit is one token through one block.
struct PatchWork {
  int64_t cells = 0;     ///< patched runs that were asked for
  int64_t computed = 0;  ///< token-layers, the base's and the other runs included
  int64_t naive = 0;     ///< what one whole run a cell takes, with those runs
};

/// Which cells a sweep has. Lists: negative numbers count from the last; empty: all.
struct PatchCells {
  std::vector<Site> sites = {Site::kResidPre};  ///< per-layer sites; a grid each
  PatchOver over = PatchOver::kPositions;
  std::vector<int> layers = {};
  std::vector<int64_t> positions =
      {};                       ///< of the base: columns of kPositions, else where a cell replaces
  std::vector<int> heads = {};  ///< columns of kHeads
  std::vector<int64_t> neurons = {};  ///< columns of kNeurons
  /// A cell replaces this many layers, as many before its row's as behind it, cut off at the
  /// model's ends. (Meng 2022, for MLPs.)
  int window = 1;
};

/// One site's results.
struct PatchGrid {
  Site site = Site::kResidPre;
  PatchOver over = PatchOver::kPositions;
  std::vector<int> layers;       ///< [R]
  std::vector<int64_t> columns;  ///< [C] positions, heads or neurons; {0} for kWhole

  std::vector<double> values;     ///< [R, C] the metric; empty if not asked for
  std::vector<double> effects;    ///< [R, C] values, on the scale that the result says
  std::vector<double> estimates;  ///< [R, C] attribution patching's first-order estimate of
                                  ///< `effects`; empty if not asked for

  size_t cell(size_t row, size_t column) const { return row * columns.size() + column; }
  /// Pearson's correlation of effects and estimates; NaN if either is empty or the same everywhere.
  double correlation() const;
};

struct PatchOptions {
  PatchMetric metric = {};
  PatchDirection direction = PatchDirection::kDenoise;
  PatchCells cells = {};
  /// Positions that belong together, (clean, corrupt), each at most once: for prompts of different
  /// lengths. Positions without a partner are not replaced. Empty: the same position. Not for maps,
  /// whose keys would have to move, too.
  std::vector<std::pair<int64_t, int64_t>> alignment = {};
  /// Where the metric is read, of each prompt; negative from its end. What follows that position
  /// plays no part.
  int64_t position = -1;
  bool exact = true;  ///< run the cells
  /// Estimate them: (a_other - a_base) . d metric / d a at the base, summed over what the cell
  /// replaces (Nanda 2023, "Attribution patching"). One backward pass gives all cells of all sites.
  bool attribution = false;
  /// Tokens that go through the model at once: whole cells, as many as fit, one at least. Results
  /// do not depend on it.
  int64_t batch_tokens = 512;
  Progress* progress = nullptr;  ///< counts cells; null: nobody wants to know
};

struct Patching {
  double clean = 0, corrupt = 0;  ///< the metric of the two prompts; effects: 1 and 0
  std::vector<PatchGrid> grids;   ///< in the order of the sites asked for
  PatchWork work;                 ///< forward passes only
};

/// Runs both prompts and every cell. Throws Error (user) as Model::forward does; for prompts of
/// different lengths without an alignment; for prompts that give the same metric, which leave
/// nothing to explain; and for sites, layers, positions, heads or neurons that are not there.
Patching patch(const Model& model, std::span<const int32_t> clean, std::span<const int32_t> corrupt,
               const PatchOptions& options);

}  // namespace vitrine
