// SPDX-License-Identifier: MIT
#include "hooks/selection.h"

#include <algorithm>

#include "base/check.h"

namespace vitrine::internal {

std::vector<SelectedRow> select_rows(const PlannedSelection& where, int s,
                                     std::span<const SequenceSlice> slices, std::string_view site) {
  const auto batch = std::ssize(slices);
  if (!where.sequences.empty()) {
    if (!where.sequences.fit(batch)) {
      where.sequences.resolve(0, batch, [&](int sequence) {
        user_error("sequence {} requested of '{}' is out of range of the batch of {}", sequence,
                   site, batch);
      });
    }
    if (!where.sequences.contain(s, batch)) return {};
  }
  const SequenceSlice& slice = slices[static_cast<size_t>(s)];
  std::vector<SelectedRow> rows;
  if (where.positions.empty()) {
    rows.resize(static_cast<size_t>(slice.rows));
    for (int64_t i = 0; i < slice.rows; ++i) rows[static_cast<size_t>(i)] = {i, i};
    return rows;
  }
  const int64_t length = slice.past + slice.rows;
  const auto row_of = [&](int64_t asked) {
    if (asked >= slice.capacity || asked < -slice.capacity) {
      user_error(
          "position {} requested of '{}' is out of range of sequence {}, which has {} positions",
          asked, site, s, slice.capacity);
    }
    return (asked < 0 ? asked + length : asked) - slice.past;
  };
  int64_t before = 0;  // positions in earlier ranges
  for (const auto& range : where.positions.ranges()) {
    const int64_t first = row_of(range.first), last = row_of(range.last);
    for (int64_t row = std::max<int64_t>(first, 0); row <= std::min(last, slice.rows - 1); ++row)
      rows.push_back({row, before + row - first});
    before += last - first + 1;
  }
  std::sort(rows.begin(), rows.end(), [](const SelectedRow& a, const SelectedRow& b) {
    return std::pair(a.index, a.position) < std::pair(b.index, b.position);
  });
  rows.erase(
      std::unique(rows.begin(), rows.end(),
                  [](const SelectedRow& a, const SelectedRow& b) { return a.index == b.index; }),
      rows.end());
  return rows;
}

}  // namespace vitrine::internal
