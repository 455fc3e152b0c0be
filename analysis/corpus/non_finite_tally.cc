// SPDX-License-Identifier: MIT
#include "analysis/corpus/non_finite_tally.h"

#include <algorithm>
#include <numeric>

#include "base/finite.h"

namespace vitrine::internal {
namespace {

/// One piece of a capture after another: elements side by side of one position. A row of a map has
/// the keys that its query sees.
template <typename See>
void for_each_piece(const Captures::Entry& entry, const Captures::Entry::Sequence& sequence,
                    const std::vector<size_t>& rows, const See& see) {
  const TensorView& values = sequence.values;
  const auto* data = values.host_bytes().data();
  const int64_t bytes = static_cast<int64_t>(dtype_size(values.dtype())),
                all = std::ssize(sequence.positions);
  const bool is_map = site_info(entry.site).shape == SiteShape::kMap;
  const int64_t blocks = is_map ? values.shape()[0] : 1, width = values.elements() / (blocks * all);
  for (int64_t block = 0; block < blocks; ++block) {
    for (const size_t row : rows) {
      const int64_t position = sequence.positions[row],
                    seen = is_map ? std::min(position + 1, width) : width;
      see(position, data + (block * all + static_cast<int64_t>(row)) * width * bytes, seen);
    }
  }
}

}  // namespace

void NonFiniteTally::add(const Captures::Entry& entry, const Captures::Entry::Sequence& sequence,
                         int64_t text, int64_t begin, const std::vector<size_t>* rows) {
  if (sequence.positions.empty()) return;
  std::vector<size_t> all;
  if (!rows) {
    all.resize(sequence.positions.size());
    std::iota(all.begin(), all.end(), size_t{0});
  }
  NonFiniteSite found{.name = entry.name, .text = text};
  for_each_piece(entry, sequence, rows ? *rows : all,
                 [&](int64_t position, const std::byte* data, int64_t count) {
                   const int64_t bad = count_non_finite(data, entry.dtype, count);
                   if (bad > 0 && found.count == 0) found.position = begin + position;
                   found.count += bad;
                 });
  if (found.count > 0) add(found);
}

void NonFiniteTally::add(const NonFiniteSite& later) {
  const auto same = std::find_if(sites_.begin(), sites_.end(), [&](const NonFiniteSite& site) {
    return site.name == later.name;
  });
  if (same == sites_.end())
    sites_.push_back(later);
  else
    same->count += later.count;
}

}  // namespace vitrine::internal
