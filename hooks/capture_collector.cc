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

/// Fills what a key has that did not exist yet: -inf in scores, 0 in a pattern.
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

Shape internal::captured_shape(const PlannedCapture& capture, int64_t rows, int64_t keys) {
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

void CaptureCollector::add(const Plan& plan, const CaptureLayout& layout, Buffer memory,
                           const Backend* device) {
  if (plan.captures().empty()) return;
  device_ = device;
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
      const PlannedCapture& capture = plan.captures()[i];
      const Shape shape = captured_shape(capture, rows, sequence.keys);
      const std::byte* data = arena->data() + layout.items[i].offset;
      Residence residence = device == nullptr ? Residence::kHost : Residence::kDevice;
      if (capture.into) {
        data = static_cast<const std::byte*>(capture.into->data);
        residence = capture.into->residence;
      }
      parts_[i][s].push_back({sequence.positions,
                              TensorView(data + sequence.offset, capture.store, shape, residence),
                              sequence.keys});
    }
  }
}

std::shared_ptr<const Captures> CaptureCollector::finish() {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (site_info(entries_[i].site).shape != SiteShape::kMap) {
      join_rows(entries_[i], parts_[i]);
      continue;
    }
    for (const std::vector<Part>& parts : parts_[i])
      entries_[i].sequences.push_back(join_map(entries_[i], parts));
  }
  return std::make_shared<const Captures>(std::move(entries_), std::move(storage_), device_);
}

/// Makes the values of all sequences lie one after the other, as Entry::rows() promises.
void CaptureCollector::join_rows(Captures::Entry& entry,
                                 const std::vector<std::vector<Part>>& parts) {
  int64_t rows = 0;
  const auto address = [](const Part& part) {  // null for a pass without rows
    return reinterpret_cast<uintptr_t>(part.values.data());
  };
  uintptr_t end = address(parts.front().front());
  bool packed = true;
  for (const std::vector<Part>& of_sequence : parts) {
    for (const Part& part : of_sequence) {
      packed = packed && address(part) == end;
      end += part.values.bytes();
      rows += part.values.shape()[0];
    }
  }
  const TensorView first = parts.front().front().values;
  std::vector<int64_t> sizes(first.shape().sizes().begin(), first.shape().sizes().end());
  sizes[0] = rows;
  Tensor joined;
  if (!packed) joined = Tensor(entry.dtype, Shape(sizes));
  const std::byte* from = static_cast<const std::byte*>(packed ? first.data() : joined.data());
  auto* to = static_cast<std::byte*>(joined.data());
  for (const std::vector<Part>& of_sequence : parts) {
    Captures::Entry::Sequence sequence;
    for (const Part& part : of_sequence) {
      sequence.positions.insert(sequence.positions.end(), part.positions.begin(),
                                part.positions.end());
      if (!packed) to = std::ranges::copy(part.values.host_bytes(), to).out;
    }
    sizes[0] = std::ssize(sequence.positions);
    sequence.values = TensorView(from, entry.dtype, Shape(sizes), first.residence());
    from += sequence.values.bytes();
    entry.sequences.push_back(std::move(sequence));
  }
  if (!packed) storage_.push_back(std::make_shared<const Tensor>(std::move(joined)));
}

/// A map's rows grow with the passes: each is copied to the front of a row of the full length.
Captures::Entry::Sequence CaptureCollector::join_map(const Captures::Entry& entry,
                                                     const std::vector<Part>& parts) {
  if (parts.size() == 1) return {parts[0].positions, parts[0].values};
  Captures::Entry::Sequence joined;
  int64_t rows = 0, keys = 0;
  for (const Part& part : parts) {
    joined.positions.insert(joined.positions.end(), part.positions.begin(), part.positions.end());
    rows += part.values.shape()[1];
    keys = std::max(keys, part.keys);
  }
  const int64_t heads = parts[0].values.shape()[0];
  Tensor tensor(entry.dtype, Shape{heads, rows, keys});
  fill_unseen(tensor, entry.site);
  const size_t element = dtype_size(entry.dtype);
  auto* to = static_cast<std::byte*>(tensor.data());
  int64_t done = 0;
  for (const Part& part : parts) {
    const int64_t part_rows = part.values.shape()[1];
    const std::byte* from = part.values.host_bytes().data();
    for (int64_t r = 0; r < heads * part_rows; ++r) {
      const int64_t target = (r / part_rows) * rows + done + r % part_rows;
      std::memcpy(to + static_cast<size_t>(target * keys) * element,
                  from + static_cast<size_t>(r * part.keys) * element,
                  static_cast<size_t>(part.keys) * element);
    }
    done += part_rows;
  }
  joined.values = tensor.view();
  storage_.push_back(std::make_shared<const Tensor>(std::move(tensor)));
  return joined;
}

}  // namespace vitrine
