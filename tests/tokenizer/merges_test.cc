// SPDX-License-Identifier: MIT
#include "tokenizer/merges.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace vitrine::internal {
namespace {

// Pairs that all meet in one place of the table: to pass them one by one took minutes.
TEST(MergeTable, PairsMadeToCollideTakeNoQuadraticTime) {
  // The inverse of the table's factor, by Newton's iteration: pair * factor is any number wanted.
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15u;
  uint64_t inverse = kFactor;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kFactor * inverse;
  ASSERT_EQ(inverse * kFactor, 1u);

  std::vector<MergeRule> rules;
  for (uint64_t i = 0; i < 2'000'000; ++i) {
    const uint64_t pair = ((uint64_t{1} << 63) + i) * inverse;
    rules.push_back({static_cast<int32_t>(pair >> 32), static_cast<int32_t>(pair & UINT32_MAX),
                     static_cast<int32_t>(i)});
  }
  // The bytes of the first rule that a text can have, and what it makes of them.
  const auto rule = std::find_if(rules.begin(), rules.end(),
                                 [](const MergeRule& r) { return r.left >= 0 && r.right >= 0; });
  ASSERT_NE(rule, rules.end());
  std::array<int32_t, 256> bytes;
  bytes.fill(-1);
  bytes['a'] = rule->left;
  bytes['b'] = rule->right;
  const MergeTable table(bytes, rules);
  MergeTable::Scratch scratch;
  std::vector<int32_t> ids;
  table.merge("abb", scratch, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{rule->product, rule->right}));
}

}  // namespace
}  // namespace vitrine::internal
