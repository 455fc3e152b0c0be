// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace vitrine {

/// Indices along an axis: single ones and ranges, in the order in which they were added. A negative
/// index counts from the end of the axis, whose size need not be known yet. Without any: no
/// restriction.
template <typename T>
class Indices {
 public:
  /// Both ends included. Ends of different signs, such as 1 and -1, depend on the axis.
  struct Range {
    T first, last;
    friend bool operator==(const Range&, const Range&) = default;
  };

  Indices() = default;
  // NOLINTBEGIN(google-explicit-constructor): a list of indices is what callers have
  Indices(std::initializer_list<T> list) {
    for (const T index : list) add(index);
  }
  Indices(const std::vector<T>& list) {
    for (const T index : list) add(index);
  }
  // NOLINTEND(google-explicit-constructor)

  void add(T index) {
    const bool can_follow = index != 0 && index != std::numeric_limits<T>::min();
    if (can_follow && !ranges_.empty() && ranges_.back().last == index - 1)
      ranges_.back().last = index;
    else
      ranges_.push_back({index, index});
  }
  void add_range(T first, T last) { ranges_.push_back({first, last}); }
  void clear() { ranges_.clear(); }

  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }
  /// Number of indices; nullopt if it depends on the axis, or is beyond any use.
  std::optional<int64_t> count() const {
    constexpr int64_t kMost = int64_t{1} << 40;
    int64_t total = 0;
    for (const Range& range : ranges_) {
      const bool depends = (range.first < 0) != (range.last < 0);
      if (depends || range.last - range.first >= kMost || total > kMost) return std::nullopt;
      total += int64_t{range.last} - range.first + 1;
    }
    return total;
  }

  /// Whether an axis of this size has all of them.
  bool fit(int64_t size) const {
    return std::all_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      const int64_t first = from_start(range.first, size), last = from_start(range.last, size);
      return first >= 0 && first <= last && last < size;
    });
  }
  /// Whether index `at`, from 0, of an axis of this size is among them.
  bool contain(int64_t at, int64_t size) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      return from_start(range.first, size) <= at && at <= from_start(range.last, size);
    });
  }

  /// Indices of the axis [0, size) from `lowest` on, ascending and without repeats. Calls
  /// `refuse(index)`, which throws, for one outside. `from_end`: single negative indices are valid;
  /// the end of a range may always be negative.
  template <typename Refuse>
  std::vector<T> resolve(int64_t lowest, int64_t size, Refuse&& refuse,
                         bool from_end = true) const {
    std::vector<T> found;
    for (const Range& range : ranges_) {
      const int64_t first = from_start(range.first, size), last = from_start(range.last, size);
      const bool counted = from_end || range.first >= 0;
      if (!counted || first < lowest || first >= size || last < first) refuse(range.first);
      if (last >= size) refuse(range.last);
      const size_t before = found.size();
      found.resize(before + static_cast<size_t>(last - first + 1));
      std::iota(found.begin() + static_cast<std::ptrdiff_t>(before), found.end(),
                static_cast<T>(first));
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

  /// "0..3,5,7..-1"
  std::string text() const {
    std::string text;
    for (const Range& range : ranges_) {
      if (!text.empty()) text += ',';
      text += std::to_string(range.first);
      if (range.first != range.last) text.append("..").append(std::to_string(range.last));
    }
    return text;
  }

  friend bool operator==(const Indices&, const Indices&) = default;

 private:
  static int64_t from_start(T index, int64_t size) {
    return index < 0 ? int64_t{index} + size : int64_t{index};
  }

  std::vector<Range> ranges_;
};

}  // namespace vitrine
