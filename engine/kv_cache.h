// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "vitrine/config.h"

namespace vitrine::internal {

/// Keys and values of every layer of a batch of sequences, in one buffer; the layout within a layer
/// is the backend's.
class KvCache {
 public:
  /// What a cache of these capacities needs, keys and values kept as `dtype`. A transient one holds
  /// a single layer, reused by each in turn: for passes that are not continued.
  static size_t bytes(const Config& config, const Backend& backend, DType dtype,
                      std::span<const int64_t> capacities, bool transient);

  KvCache() = default;
  KvCache(const Config& config, const Backend& backend, DType dtype,
          std::vector<int64_t> capacities, bool transient, Buffer memory);

  const std::vector<int64_t>& capacities() const { return capacities_; }
  size_t bytes() const { return memory_.bytes(); }
  bool transient() const { return layer_stride_ == 0; }
  int sequences() const { return static_cast<int>(capacities_.size()); }
  int64_t capacity(int sequence) const { return capacities_[static_cast<size_t>(sequence)]; }
  int64_t length(int sequence) const { return lengths_[static_cast<size_t>(sequence)]; }
  void set_length(int sequence, int64_t length) {
    lengths_[static_cast<size_t>(sequence)] = length;
  }

  std::byte* layer(int layer) const {
    return memory_.data() + static_cast<size_t>(layer) * layer_stride_;
  }
  /// Bytes of a sequence's part of each layer.
  size_t sequence_bytes(int sequence) const {
    return sequence_bytes_[static_cast<size_t>(sequence)];
  }
  /// Where a sequence's part begins in each layer, in bytes.
  int64_t offset(int sequence) const {
    return static_cast<int64_t>(offsets_[static_cast<size_t>(sequence)]);
  }

 private:
  std::vector<int64_t> capacities_, lengths_;
  std::vector<size_t> offsets_, sequence_bytes_;
  size_t layer_stride_ = 0;
  Buffer memory_;
};

}  // namespace vitrine::internal
