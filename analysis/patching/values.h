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

namespace vitrine::internal {

// What interventions put in the place of activations: whole rows of a site (for a map every head's,
// one after the other), by position of the base run. A position that has no row is left as it is.

using PatchValues = std::shared_ptr<const ActivationSource>;

/// Another run's, at the position that `partner` gives for the base's; negative: none.
class AlignedValues : public ActivationSource {
 public:
  AlignedValues(std::shared_ptr<const Captures> other, std::vector<int64_t> partner)
      : other_(std::move(other)), partner_(std::move(partner)) {}
  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;

 private:
  std::shared_ptr<const Captures> other_;
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

/// One sequence of a run, for whatever sequence it replaces.
class SequenceValues : public ActivationSource {
 public:
  SequenceValues(std::shared_ptr<const Captures> run, int sequence)
      : run_(std::move(run)), sequence_(sequence) {}
  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;
  std::optional<int64_t> map_heads(Site site, int layer) const override {
    return run_->map_heads(site, layer);
  }
  std::optional<TensorView> row_view(Site site, int layer, int, int64_t position) const override {
    return run_->row_view(site, layer, sequence_, position);
  }
  const void* device() const override { return run_->device(); }

 private:
  std::shared_ptr<const Captures> run_;
  int sequence_;
};

/// A map's rows of some heads.
class HeadsOfMap : public ActivationSource {
 public:
  HeadsOfMap(PatchValues values, std::vector<int> heads, int all_heads)
      : values_(std::move(values)), heads_(std::move(heads)), all_heads_(all_heads) {}
  std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                        int64_t position) const override;

 private:
  PatchValues values_;
  std::vector<int> heads_;
  int all_heads_;
};

}  // namespace vitrine::internal
