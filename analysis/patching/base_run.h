// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "analysis/patching/values.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine::internal {

/// A pass that edits read from: its captures stay where the model runs.
inline constexpr ForwardOptions kInPlace{.logits = LogitRows::kLast,
                                         .residence = Residence::kDevice};

/// Changes of a run, with the first block and position that they touch: nothing before those needs
/// computing.
struct Intervention {
  int layer = 0;
  int64_t position = 0;
  std::vector<Hooks::Change> changes;  ///< none: the run stays as it is
};

/// What else happens in the patched runs.
struct RunExtras {
  /// Adds captures, and edits before the interventions' own, for the passes that start at a block.
  /// They must leave a run without intervention as it is. Null: nothing.
  std::function<void(Hooks& hooks, int layer)> hooks = {};
  /// Told where a cell's captures are; not for a cell without changes.
  std::function<void(size_t cell, const BothCaptures& captures, int sequence)> see = {};
};

/// A run that is to be repeated with interventions: its keys and values, its residual stream before
/// each block, and the sites whose values interventions are compared with.
class BaseRun {
 public:
  /// `edits` are made in this run and in its repetitions. Throws Error (user) as Model::forward
  /// does, for edits of some sequences only, and for fewer than one token a batch.
  BaseRun(const Model& model, std::vector<int32_t> ids, const std::vector<Site>& sites,
          const PatchMetric& metric, int64_t batch_tokens, const Hooks& edits = {});

  const Model& model() const { return model_; }
  const std::vector<int32_t>& ids() const { return ids_; }
  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
  double value() const { return value_; }
  const BothCaptures& captures() const { return *captures_; }

  /// Puts `values` at the places, but not where that would change nothing: no bit there, or nothing
  /// that the metric depends on.
  Intervention intervene(std::vector<Place> places, const PatchValues& values) const;
  /// Sum over the places of (values - this run's) x gradients, in double precision.
  double estimate(const std::vector<Place>& places, const PatchValues& values,
                  const Captures& gradients) const;

  /// The metric with each of the interventions.
  std::vector<double> run(const std::vector<Intervention>& cells, const RunExtras& extras = {});

  /// Cells, and token-layers of this run and its repetitions.
  const PatchWork& work() const { return work_; }

 private:
  void run_batch(const std::vector<Intervention>& cells, std::span<const size_t> batch,
                 const RunExtras& extras, std::vector<double>& values);
  Hooks edits_from(int layer) const;
  TensorView residual_from(int layer, int64_t position) const;
  bool reaches_metric(Site site, int layer, int64_t position) const;

  Model model_;
  std::vector<int32_t> ids_;
  PatchMetric metric_;
  int64_t batch_tokens_;
  Hooks edits_;
  Session session_;
  std::optional<BothCaptures> captures_;  ///< always there once constructed
  double value_ = 0;
  PatchWork work_;
};

}  // namespace vitrine::internal
