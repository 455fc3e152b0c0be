// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/config.h"
#include "vitrine/model.h"

namespace vitrine::internal {

/// Some elements of one site of one layer. Lists are ascending.
struct Place {
  Site site;
  int layer;
  std::vector<int64_t> positions;
  std::vector<int> heads = {};        ///< empty: all, or none to choose from
  std::vector<int64_t> neurons = {};  ///< empty: all

  /// The place's elements of a whole row of its site; of a map those that the query at `position`
  /// sees.
  std::vector<float> part_of(const std::vector<float>& row, int64_t position,
                             const Config& config) const;
};

/// A run's captures where the model runs, which edits read, and in host memory, where values are
/// compared; one and the same on a CPU.
struct BothCaptures {
  std::shared_ptr<const Captures> in_place, on_host;

  BothCaptures(const Model& model, const Run& run)
      : in_place(run.shared_captures()), on_host(model.to_host(in_place)) {}
  /// Captures in host memory.
  explicit BothCaptures(std::shared_ptr<const Captures> captures)
      : in_place(captures), on_host(std::move(captures)) {}
};

// What interventions put in the place of activations: whole rows of a site (for a map every head's,
// one after the other), by position of the base run. A position that has no row is left as it is.

using PatchValues = std::shared_ptr<const ActivationSource>;

/// Another run's, of one of its sequences.
class RunValues : public ActivationSource {
 public:
  /// `partner`: for each position of the base run the other's, negative for none; empty: the same.
  explicit RunValues(BothCaptures run, int sequence = 0, std::vector<int64_t> partner = {})
      : run_(std::move(run)), sequence_(sequence), partner_(std::move(partner)) {}
  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;
  std::optional<TensorView> row_view(Site site, int layer, int sequence,
                                     int64_t position) const override;
  std::optional<TensorView> map_row_view(Site site, int layer, int sequence, int64_t position,
                                         int64_t head) const override;
  std::optional<int64_t> map_heads(Site site, int layer) const override {
    return run_.in_place->map_heads(site, layer);
  }
  const void* device() const override { return run_.in_place->device(); }

 private:
  int64_t partner(int64_t position) const {
    return partner_.empty() ? position : partner_[static_cast<size_t>(position)];
  }

  BothCaptures run_;
  int sequence_;
  std::vector<int64_t> partner_;
};

/// 0, as many as the base run has.
class ZeroValues : public ActivationSource {
 public:
  explicit ZeroValues(std::shared_ptr<const Captures> base) : base_(std::move(base)) {}
  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;

 private:
  std::shared_ptr<const Captures> base_;
};

/// The mean row of each captured site, at every position. Throws Error (user) for maps.
class MeanValues : public ActivationSource {
 public:
  explicit MeanValues(const Captures& captures);
  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;

 private:
  std::map<std::pair<Site, int>, std::vector<float>> means_;
};

/// What a place selects of other values, for an edit that selects the same.
class PartOfRows : public ActivationSource {
 public:
  PartOfRows(PatchValues whole, Place place, const Config& config)
      : whole_(std::move(whole)), place_(std::move(place)), config_(config) {}
  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;
  /// Where the place's elements lie side by side.
  std::optional<TensorView> row_view(Site site, int layer, int sequence,
                                     int64_t position) const override;
  std::optional<TensorView> map_row_view(Site site, int layer, int sequence, int64_t position,
                                         int64_t head) const override;
  const void* device() const override { return whole_->device(); }

 private:
  PatchValues whole_;
  Place place_;
  Config config_;
};

}  // namespace vitrine::internal
