// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/corpus/capture_file.h"

namespace vitrine::internal {

/// Counts the NaN and infinite values of captures as they are stored, by site, and keeps where the
/// first one is. Of scores, what a query cannot see (-infinity) does not count.
class NonFiniteTally {
 public:
  /// `rows` of a sequence's captured rows (all of a map), which is number `text`; positions are
  /// counted from `begin`.
  void add(const Captures::Entry& entry, const Captures::Entry::Sequence& sequence, int64_t text,
           int64_t begin = 0, const std::vector<size_t>* rows = nullptr);
  /// Joins what was counted later.
  void add(const NonFiniteSite& later);

  /// The sites that have such values, in order of their first.
  const std::vector<NonFiniteSite>& sites() const { return sites_; }
  void clear() { sites_.clear(); }

 private:
  std::vector<NonFiniteSite> sites_;
};

}  // namespace vitrine::internal
