// SPDX-License-Identifier: MIT
#include "engine/kv_cache.h"

namespace vitrine::internal {
namespace {

size_t layer_bytes(const Config& config, const Backend& backend, DType dtype, int64_t capacity) {
  const size_t bytes =
      backend.kv_bytes(capacity, config.heads, static_cast<int>(config.head_width()), dtype);
  return whole_lines(bytes);
}

}  // namespace

size_t KvCache::bytes(const Config& config, const Backend& backend, DType dtype,
                      std::span<const int64_t> capacities, bool transient) {
  size_t one_layer = 0;
  for (int64_t capacity : capacities) one_layer += layer_bytes(config, backend, dtype, capacity);
  return one_layer * (transient ? 1 : static_cast<size_t>(config.layers));
}

KvCache::KvCache(const Config& config, const Backend& backend, DType dtype,
                 std::vector<int64_t> capacities, bool transient, Buffer memory)
    : capacities_(std::move(capacities)),
      lengths_(capacities_.size(), 0),
      memory_(std::move(memory)) {
  size_t one_layer = 0;
  for (int64_t capacity : capacities_) {
    offsets_.push_back(one_layer);
    sequence_bytes_.push_back(layer_bytes(config, backend, dtype, capacity));
    one_layer += sequence_bytes_.back();
  }
  layer_stride_ = transient ? 0 : one_layer;
}

}  // namespace vitrine::internal
