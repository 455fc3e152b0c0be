// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/float_bits.h"
#include "hooks/hook_run.h"

namespace vitrine {
using namespace internal;
namespace {

/// The shape of `rows` captured rows of one sequence.
Shape captured_shape(const PlannedCapture& capture, int64_t rows, int64_t keys) {
  const int64_t heads = static_cast<int64_t>(capture.where.heads.size());
  switch (site_info(capture.site).shape) {
    case SiteShape::kMap:
      return {heads, rows, keys};
    case SiteShape::kHeads:
    case SiteShape::kResults:
      return {rows, heads, capture.where.head_width};
    default:
      return {rows, capture.where.width};
  }
}

/// What stands where a key did not exist yet: -inf in scores, 0 in a pattern.
void fill_unseen(Tensor& map, Site site) {
  if (site != Site::kAttnScores) return;  // tensors are made of zeros
  const float minus_inf = -std::numeric_limits<float>::infinity();
  if (map.dtype() == DType::kF32) {
    std::fill(map.f32().begin(), map.f32().end(), minus_inf);
    return;
  }
  const uint16_t bits = map.dtype() == DType::kF16 ? f32_to_f16(minus_inf) : f32_to_bf16(minus_inf);
  auto* data = static_cast<uint16_t*>(map.data());
  std::fill(data, data + map.elements(), bits);
}

}  // namespace

void CaptureCollector::add(const Plan& plan, const CaptureLayout& layout, Buffer memory,
                           Residence residence) {
  if (plan.captures().empty()) return;
  if (entries_.empty()) {
    for (const PlannedCapture& capture : plan.captures()) {
      entries_.push_back(
          {capture.site, capture.layer, capture.name, capture.store, capture.where.heads, {}});
      parts_.emplace_back(layout.items.front().sequences.size());
    }
  }
  const auto arena = std::make_shared<const Buffer>(std::move(memory));
  storage_.push_back(arena);
  for (size_t i = 0; i < entries_.size(); ++i) {
    for (size_t s = 0; s < parts_[i].size(); ++s) {
      const CaptureLayout::Sequence& sequence = layout.items[i].sequences[s];
      const int64_t rows = static_cast<int64_t>(sequence.rows.size());
      if (rows == 0 && !parts_[i][s].empty()) continue;
      const Shape shape = captured_shape(plan.captures()[i], rows, sequence.keys);
      parts_[i][s].push_back(
          {sequence.positions,
           TensorView(arena->data() + sequence.offset, plan.captures()[i].store, shape, residence),
           sequence.keys});
    }
  }
}

std::shared_ptr<const Captures> CaptureCollector::finish() {
  for (size_t i = 0; i < entries_.size(); ++i) {
    for (const std::vector<Part>& parts : parts_[i])
      entries_[i].sequences.push_back(join(entries_[i], parts));
  }
  return std::make_shared<const Captures>(std::move(entries_), std::move(storage_));
}

Captures::Entry::Sequence CaptureCollector::join(const Captures::Entry& entry,
                                                 const std::vector<Part>& parts) {
  if (parts.size() == 1) return {parts[0].positions, parts[0].values};
  const bool map = site_info(entry.site).shape == SiteShape::kMap;
  const int row_axis = map ? 1 : 0;
  Captures::Entry::Sequence joined;
  int64_t rows = 0, keys = 0;
  for (const Part& part : parts) {
    joined.positions.insert(joined.positions.end(), part.positions.begin(), part.positions.end());
    rows += part.values.shape()[row_axis];
    keys = std::max(keys, part.keys);
  }
  const std::span<const int64_t> first = parts[0].values.shape().sizes();
  std::vector<int64_t> sizes(first.begin(), first.end());
  sizes[static_cast<size_t>(row_axis)] = rows;
  if (map) sizes[2] = keys;
  Tensor tensor(entry.dtype, Shape(sizes));
  if (map) fill_unseen(tensor, entry.site);

  // A row is contiguous in both; a map's rows grow with the passes, so each is copied to the front
  // of a full-length one.
  const size_t element = dtype_size(entry.dtype);
  const int64_t heads = map ? sizes[0] : 1;
  const int64_t row_elements = map ? keys : tensor.elements() / std::max<int64_t>(rows, 1);
  auto* to = static_cast<std::byte*>(tensor.data());
  int64_t done = 0;
  for (const Part& part : parts) {
    const int64_t part_rows = part.values.shape()[row_axis];
    const int64_t part_elements = map ? part.keys : row_elements;
    const std::byte* from = part.values.host_bytes().data();
    for (int64_t r = 0; r < heads * part_rows; ++r) {
      const int64_t target = (r / part_rows) * rows + done + r % part_rows;
      std::memcpy(to + static_cast<size_t>(target * row_elements) * element,
                  from + static_cast<size_t>(r * part_elements) * element,
                  static_cast<size_t>(part_elements) * element);
    }
    done += part_rows;
  }
  joined.values = tensor.view();
  storage_.push_back(std::make_shared<const Tensor>(std::move(tensor)));
  return joined;
}

}  // namespace vitrine
