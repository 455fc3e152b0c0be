// SPDX-License-Identifier: MIT
#include "analysis/patching/values.h"

#include <algorithm>

namespace vitrine::internal {
namespace {

using Row = std::optional<std::vector<float>>;

bool is_map(Site site) { return site_info(site).shape == SiteShape::kMap; }

/// Elements of one head in a whole row; without heads all of them.
int64_t block_of(Site site, int64_t elements, const Config& config) {
  if (is_map(site)) return elements / config.heads;
  const int64_t head_width = site_head_width(site_info(site).shape, config);
  return head_width > 0 ? head_width : elements;
}

/// Whether a list has no gaps.
template <typename T>
bool side_by_side(const std::vector<T>& ascending) {
  return ascending.back() - ascending.front() + 1 == std::ssize(ascending);
}

}  // namespace

std::vector<float> Place::part_of(const std::vector<float>& row, int64_t position,
                                  const Config& config) const {
  const int64_t block = block_of(site, std::ssize(row), config);
  const int64_t seen = is_map(site) ? std::min(position + 1, block) : block;
  std::vector<float> result;
  const auto append = [&](int64_t begin) {
    if (neurons.empty())
      result.insert(result.end(), row.begin() + begin, row.begin() + begin + seen);
    for (const int64_t neuron : neurons) result.push_back(row[static_cast<size_t>(begin + neuron)]);
  };
  if (heads.empty()) {
    for (int64_t begin = 0; begin < std::ssize(row); begin += block) append(begin);
  }
  for (const int head : heads) append(head * block);
  return result;
}

Row RunValues::row(Site site, int layer, int, int64_t position) const {
  const int64_t from = partner(position);
  return from < 0 ? std::nullopt : run_.on_host->row(site, layer, sequence_, from);
}

std::optional<TensorView> RunValues::row_view(Site site, int layer, int, int64_t position) const {
  const int64_t from = partner(position);
  return from < 0 ? std::nullopt : run_.in_place->row_view(site, layer, sequence_, from);
}

std::optional<TensorView> RunValues::map_row_view(Site site, int layer, int, int64_t position,
                                                  int64_t head) const {
  const int64_t from = partner(position);
  return from < 0 ? std::nullopt : run_.in_place->map_row_view(site, layer, sequence_, from, head);
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

Row PartOfRows::row(Site site, int layer, int sequence, int64_t position) const {
  const Row whole = whole_->row(site, layer, sequence, position);
  if (!whole) return std::nullopt;
  return place_.part_of(*whole, position, config_);
}

std::optional<TensorView> PartOfRows::row_view(Site site, int layer, int sequence,
                                               int64_t position) const {
  const std::optional<TensorView> whole = whole_->row_view(site, layer, sequence, position);
  if (!whole || (place_.heads.empty() && place_.neurons.empty())) return whole;
  const int64_t block = block_of(site, whole->elements(), config_);
  int64_t begin = 0, count = block;
  if (!place_.neurons.empty()) {
    const bool one_block = block == whole->elements() || place_.heads.size() == 1;
    if (!one_block || !side_by_side(place_.neurons)) return std::nullopt;
    begin = place_.neurons.front();
    count = std::ssize(place_.neurons);
  }
  if (!place_.heads.empty()) {
    if (!side_by_side(place_.heads)) return std::nullopt;
    begin += place_.heads.front() * block;
    count *= std::ssize(place_.heads);
  }
  return TensorView(static_cast<const std::byte*>(whole->data()) +
                        static_cast<size_t>(begin) * dtype_size(whole->dtype()),
                    whole->dtype(), Shape{count}, whole->residence());
}

std::optional<TensorView> PartOfRows::map_row_view(Site site, int layer, int sequence,
                                                   int64_t position, int64_t head) const {
  const int64_t of_whole = place_.heads.empty() ? head : place_.heads[static_cast<size_t>(head)];
  return whole_->map_row_view(site, layer, sequence, position, of_whole);
}

}  // namespace vitrine::internal
