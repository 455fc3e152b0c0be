// SPDX-License-Identifier: MIT
#include "base/finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/float_bits.h"

namespace vitrine {
using namespace internal;
namespace {

TEST(FirstNonFinite, FindsNaNAndInfinityWhereverTheyStand) {
  for (const int64_t count : {1, 7, 4096, 4097, 10000}) {
    std::vector<float> values(static_cast<size_t>(count), std::numeric_limits<float>::max());
    EXPECT_EQ(first_non_finite(values.data(), DType::kF32, count), std::nullopt);
    for (const int64_t where : {int64_t{0}, count / 2, count - 1}) {
      for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
        auto copy = values;
        copy[static_cast<size_t>(where)] = bad;
        EXPECT_EQ(first_non_finite(copy.data(), DType::kF32, count), where);
        std::vector<uint16_t> halves(static_cast<size_t>(count), f32_to_f16(-65504.0f));
        std::vector<uint16_t> brains(static_cast<size_t>(count), f32_to_bf16(3e38f));
        EXPECT_EQ(first_non_finite(halves.data(), DType::kF16, count), std::nullopt);
        EXPECT_EQ(first_non_finite(brains.data(), DType::kBF16, count), std::nullopt);
        halves[static_cast<size_t>(where)] = f32_to_f16(bad);
        brains[static_cast<size_t>(where)] = f32_to_bf16(bad);
        EXPECT_EQ(first_non_finite(halves.data(), DType::kF16, count), where);
        EXPECT_EQ(first_non_finite(brains.data(), DType::kBF16, count), where);
      }
    }
  }
}

TEST(FirstNonFinite, TellsTheFirst) {
  const std::vector<float> values = {0, 1, NAN, INFINITY};
  EXPECT_EQ(first_non_finite(values.data(), DType::kF32, 4), 2);
  EXPECT_EQ(first_non_finite(values.data(), DType::kF32, 2), std::nullopt);
}

}  // namespace
}  // namespace vitrine
