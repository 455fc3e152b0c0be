// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/run_values.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine::testing {
using namespace internal;

/// What patch() computes, the plain way: every cell a whole run with an edit, from the first block
/// and the first token.
class NaivePatching {
 public:
  /// Puts `values` of `other` into runs of `base`. Prompts of the same length.
  NaivePatching(const Model& model, std::vector<int32_t> base, const std::vector<int32_t>& other,
                PatchMetric metric, Hooks edits = {})
      : model_(model),
        base_(std::move(base)),
        metric_(std::move(metric)),
        edits_(std::move(edits)),
        other_(model.forward(other, Hooks(edits_).capture("*")).shared_captures()) {}

  double with(const Hooks& edits) const {
    Hooks all = edits_;
    for (const Hooks::Change& change : edits.edits())
      all.edit(change.sites, change.edit, change.where);
    return metric_.of(
        testing_support::logits_of(model_.forward(base_, all, {.logits = LogitRows::kLast})).f32());
  }

  /// One cell of a grid whose cells are at `positions` (empty: all), or at the column's.
  double cell(const PatchGrid& grid, size_t row, size_t column,
              std::vector<int64_t> positions = {}) const {
    const std::string name = site_name(grid.site, grid.layers[row]);
    Where where{.positions = std::move(positions)};
    if (grid.over == PatchOver::kPositions) where.positions = {grid.columns[column]};
    if (grid.over == PatchOver::kHeads) where.heads = {static_cast<int>(grid.columns[column])};
    if (grid.over == PatchOver::kNeurons) where.neurons = {grid.columns[column]};
    const auto source = std::make_shared<Narrowed>(other_, where, model_.config());
    return with(Hooks().edit(name, replace_from(source), where));
  }

 private:
  /// replace_from() wants rows that are narrowed as its edit is.
  class Narrowed : public ActivationSource {
   public:
    Narrowed(std::shared_ptr<const Captures> all, Where where, const Config& config)
        : all_(std::move(all)), where_(std::move(where)), heads_(config.heads) {}

    std::optional<std::vector<float>> row(Site site, int layer, int,
                                          int64_t position) const override {
      const std::vector<float> whole = all_->row(site, layer, 0, position).value();
      std::vector<float> part;
      const auto head_size = static_cast<std::ptrdiff_t>(whole.size()) / heads_;
      for (const int head : testing_support::listed(where_.heads))
        part.insert(part.end(), whole.begin() + head * head_size,
                    whole.begin() + (head + 1) * head_size);
      for (const int64_t neuron : testing_support::listed(where_.neurons))
        part.push_back(whole[static_cast<size_t>(neuron)]);
      return part.empty() ? whole : part;
    }

   private:
    std::shared_ptr<const Captures> all_;
    Where where_;
    int heads_;
  };

  Model model_;
  std::vector<int32_t> base_;
  PatchMetric metric_;
  Hooks edits_;
  std::shared_ptr<const Captures> other_;
};

}  // namespace vitrine::testing
