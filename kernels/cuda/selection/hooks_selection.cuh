// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <vector>

#include "kernels/cuda/elementwise/elementwise.cuh"

// A Selection as kernels see it, passed by value, so that recorded work holds it.

namespace vitrine::internal::cuda {

/// A list of whole numbers below 2^31. Evenly spaced ones are not stored at all, a few travel with
/// the kernel's parameters, and only more than that lie in the device's memory.
struct Numbers {
  static constexpr int kFew = 64;

  int32_t first = 0, step = 0;  ///< evenly spaced, if `listed` is false
  bool listed = false;
  const int32_t* many = nullptr;  ///< where the list is not in `few`
  int32_t few[kFew] = {};

  VITRINE_DEVICE int64_t at(int64_t i) const {
    if (!listed) return first + i * step;
    return many != nullptr ? many[i] : few[i];
  }
};

/// Selected columns are counted through all ranges.
struct SelectionView {
  int64_t width = 0;
  int ranges = 0;
  bool limited = false, skips = false;
  Numbers rows;
  Numbers starts;   ///< selected columns before each range
  Numbers shifts;   ///< from the selected column's number to the column, in each range
  Numbers limits;   ///< of each selected row, if `limited`: how many of the selected columns count
  Numbers skipped;  ///< the same, if `skips`: how many of the first ones an edit leaves as they are

  /// Of a selected column's range.
  VITRINE_DEVICE int range_of(int64_t selected) const {
    int low = 0;
    for (int high = ranges; high - low > 1;) {
      const int middle = (low + high) / 2;
      (starts.at(middle) <= selected ? low : high) = middle;
    }
    return low;
  }
  VITRINE_DEVICE int64_t column(int64_t selected) const {
    return selected + shifts.at(range_of(selected));
  }
};

/// Makes Numbers, and notes those that have to be uploaded.
class NumberLists {
 public:
  void add(Numbers& to, std::span<const int64_t> values);
  size_t bytes() const { return uploaded_.size() * sizeof(int32_t); }
  const void* data() const { return uploaded_.data(); }
  /// Tells the Numbers where their lists have come to lie.
  void placed(const int32_t* memory) const;

 private:
  struct Long {
    Numbers* numbers;
    size_t begin;
  };
  std::vector<int32_t> uploaded_;
  std::vector<Long> long_;
};

}  // namespace vitrine::internal::cuda
