// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "base/random.h"

namespace vitrine::internal {

/// Random numbers of one draw, one after the other: a function of the key.
class Dice {
 public:
  explicit Dice(uint64_t key) : key_(key) {}
  double unit() { return unit_interval(mix64(key_ + count_++)); }
  /// 0 .. size - 1
  size_t index(size_t size) {
    return std::min(static_cast<size_t>(unit() * static_cast<double>(size)), size - 1);
  }
  /// `count` different ones of 0 .. size - 1, in random order.
  std::vector<size_t> choose(size_t size, size_t count) {
    std::vector<size_t> all(size);
    std::iota(all.begin(), all.end(), size_t{0});
    for (size_t i = 0; i < count; ++i) std::swap(all[i], all[i + index(size - i)]);
    all.resize(count);
    return all;
  }

 private:
  uint64_t key_, count_ = 0;
};

}  // namespace vitrine::internal
