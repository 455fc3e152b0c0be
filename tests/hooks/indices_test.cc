// SPDX-License-Identifier: MIT
#include "vitrine/indices.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace vitrine {
namespace {

using Positions = Indices<int64_t>;

/// What a list means on an axis, from the words of the header: every index by itself.
std::vector<int64_t> expected(const std::vector<std::pair<int64_t, int64_t>>& ranges,
                              int64_t size) {
  std::set<int64_t> found;
  for (const auto& [first, last] : ranges) {
    for (int64_t at = 0; at < size; ++at) {
      const bool after = first < 0 ? at >= size + first : at >= first;
      const bool before = last < 0 ? at <= size + last : at <= last;
      if (after && before) found.insert(at);
    }
  }
  return {found.begin(), found.end()};
}

std::vector<int64_t> resolved(const Positions& indices, int64_t size, bool from_end = true) {
  return indices.resolve(
      0, size, [](int64_t index) { throw std::out_of_range(std::to_string(index)); }, from_end);
}

TEST(Indices, RangesMeanTheirIndicesOnEveryAxis) {
  for (int64_t size = 1; size <= 6; ++size) {
    for (int64_t first = -size; first < size; ++first) {
      for (int64_t last = -size; last < size; ++last) {
        Positions indices;
        indices.add_range(first, last);
        const std::vector<int64_t> wanted = expected({{first, last}}, size);
        for (int64_t at = 0; at < size; ++at)
          EXPECT_EQ(indices.contain(at, size), std::ranges::count(wanted, at) == 1);
        EXPECT_EQ(indices.fit(size), !wanted.empty());
        if (wanted.empty())
          EXPECT_THROW(resolved(indices, size), std::out_of_range);
        else
          EXPECT_EQ(resolved(indices, size), wanted) << indices.text() << " of " << size;
      }
    }
  }
}

TEST(Indices, ListsAreSortedWithoutRepeats) {
  EXPECT_EQ(resolved({3, -1, 0, 3}, 5), (std::vector<int64_t>{0, 3, 4}));
  EXPECT_TRUE(resolved({}, 5).empty());
  Positions mixed = {4};
  mixed.add_range(1, -3);
  EXPECT_EQ(resolved(mixed, 6), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(mixed.text(), "4,1..-3");
}

TEST(Indices, CountIsKnownWhereItDoesNotDependOnTheAxis) {
  EXPECT_EQ((Positions{7, 3, 3}).count(), 3);
  Positions indices = {0};
  indices.add_range(-3, -1);
  EXPECT_EQ(indices.count(), 4);
  indices.add_range(1, -1);
  EXPECT_EQ(indices.count(), std::nullopt);
  Positions endless;
  endless.add_range(0, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(endless.count(), std::nullopt);
}

TEST(Indices, NeighboursJoinButNotAcrossTheEnd) {
  EXPECT_EQ((Positions{2, 3, 4}).text(), "2..4");
  EXPECT_EQ((Positions{-2, -1, 0}).text(), "-2..-1,0");
  EXPECT_EQ((Positions{4, 3}).text(), "4,3") << "the order is that of operands";
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  EXPECT_EQ((Positions{std::numeric_limits<int64_t>::max(), kLeast}).ranges().size(), 2u);
}

TEST(Indices, OutsideIsRefusedByTheIndexThatIs) {
  const auto refused = [](const Positions& indices, int64_t size, bool from_end = true) {
    try {
      resolved(indices, size, from_end);
    } catch (const std::out_of_range& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  EXPECT_EQ(refused({5}, 5), "5");
  EXPECT_EQ(refused({-6}, 5), "-6");
  Positions from_five, to_nine, open;
  from_five.add_range(5, -1);
  EXPECT_EQ(refused(from_five, 5), "5");
  to_nine.add_range(0, 9);
  EXPECT_EQ(refused(to_nine, 5), "9");
  EXPECT_EQ(refused({-1}, 5, false), "-1") << "where negative indices are invalid";
  open.add_range(1, -1);
  EXPECT_EQ(refused(open, 5, false), "nothing");
}

}  // namespace
}  // namespace vitrine
