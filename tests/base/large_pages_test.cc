// SPDX-License-Identifier: MIT
#include "base/large_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace vitrine {
using namespace internal;
namespace {

class LargePages : public ::testing::TestWithParam<size_t> {};

TEST_P(LargePages, BeginAtABoundaryAndAreZeros) {
  const size_t bytes = GetParam();
  const auto memory = map_large_pages(bytes);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.get()) % kLargePage, 0u);
  EXPECT_TRUE(std::all_of(memory.get(), memory.get() + bytes,
                          [](std::byte b) { return b == std::byte{0}; }));
  std::fill(memory.get(), memory.get() + bytes, std::byte{1});  // all of it can be written
}

INSTANTIATE_TEST_SUITE_P(Sizes, LargePages,
                         ::testing::Values(1, 4096, kLargePage - 1, kLargePage, kLargePage + 1,
                                           5 * kLargePage),
                         ::testing::PrintToStringParamName());

// Advice changes no byte, wherever the memory lies, and however little of it there is.
TEST_P(LargePages, AreOnlyAPreference) {
  std::vector<std::byte> memory(GetParam(), std::byte{7});
  prefer_large_pages(memory.data(), memory.size());
  EXPECT_TRUE(
      std::all_of(memory.begin(), memory.end(), [](std::byte b) { return b == std::byte{7}; }));
  prefer_large_pages(nullptr, 0);
}

TEST(LargePagesRefused, WhatNoMachineHasIsRefused) {
  EXPECT_EQ(map_large_pages(std::numeric_limits<size_t>::max()), nullptr);
  EXPECT_EQ(map_large_pages(size_t{1} << 60), nullptr);
}

}  // namespace
}  // namespace vitrine
