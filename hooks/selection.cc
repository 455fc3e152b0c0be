// SPDX-License-Identifier: MIT
#include "hooks/selection.h"

#include <algorithm>

#include "base/check.h"

namespace vitrine::internal {

std::vector<SelectedRow> select_rows(const PlannedSelection& where, int s,
                                     std::span<const SequenceSlice> slices, std::string_view site) {
  if (!where.sequences.empty()) {
    if (static_cast<size_t>(where.sequences.back()) >= slices.size()) {
      user_error("sequence {} requested of '{}' is out of range of the batch of {}",
                 where.sequences.back(), site, slices.size());
    }
    if (!std::binary_search(where.sequences.begin(), where.sequences.end(), s)) return {};
  }
  const SequenceSlice& slice = slices[static_cast<size_t>(s)];
  std::vector<SelectedRow> rows;
  if (where.positions.empty()) {
    rows.resize(static_cast<size_t>(slice.rows));
    for (int64_t i = 0; i < slice.rows; ++i) rows[static_cast<size_t>(i)] = {i, i};
    return rows;
  }
  const int64_t length = slice.past + slice.rows;
  for (size_t p = 0; p < where.positions.size(); ++p) {
    const int64_t asked = where.positions[p];
    if (asked >= slice.capacity || asked < -slice.capacity) {
      user_error(
          "position {} requested of '{}' is out of range of sequence {}, which has {} positions",
          asked, site, s, slice.capacity);
    }
    const int64_t index = (asked < 0 ? asked + length : asked) - slice.past;
    if (index >= 0 && index < slice.rows) rows.push_back({index, static_cast<int64_t>(p)});
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
