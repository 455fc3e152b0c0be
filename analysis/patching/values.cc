// SPDX-License-Identifier: MIT
#include "analysis/patching/values.h"

#include <algorithm>

namespace vitrine::internal {

using Row = std::optional<std::vector<float>>;

Row AlignedValues::row(Site site, int layer, int, int64_t position) const {
  const int64_t partner = partner_[static_cast<size_t>(position)];
  return partner < 0 ? std::nullopt : other_->row(site, layer, 0, partner);
}

Row ZeroValues::row(Site site, int layer, int, int64_t position) const {
  Row row = base_->row(site, layer, 0, position);
  if (row) std::fill(row->begin(), row->end(), 0.0f);
  return row;
}

MeanValues::MeanValues(const Captures& captures) {
  for (const Captures::Entry& entry : captures.entries()) {
    const Tensor mean = captures.mean(entry.name);
    means_[{entry.site, entry.layer}].assign(mean.f32().begin(), mean.f32().end());
  }
}

Row MeanValues::row(Site site, int layer, int, int64_t) const {
  const auto found = means_.find({site, layer});
  return found == means_.end() ? std::nullopt : Row(found->second);
}

Row SequenceValues::row(Site site, int layer, int, int64_t position) const {
  return run_->row(site, layer, sequence_, position);
}

Row HeadsOfMap::row(Site site, int layer, int sequence, int64_t position) const {
  const Row all = values_->row(site, layer, sequence, position);
  if (!all) return std::nullopt;
  const auto keys = static_cast<std::ptrdiff_t>(all->size()) / all_heads_;
  std::vector<float> rows;
  for (const int head : heads_)
    rows.insert(rows.end(), all->begin() + head * keys, all->begin() + (head + 1) * keys);
  return rows;
}

}  // namespace vitrine::internal
