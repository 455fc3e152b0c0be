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

TEST(CountNonFinite, CountsAll) {
  std::vector<float> values(10000, 1.0f);
  EXPECT_EQ(count_non_finite(values.data(), DType::kF32, 10000), 0);
  for (const size_t at : {size_t{0}, size_t{1}, size_t{5000}, size_t{9999}}) values[at] = NAN;
  values[77] = -INFINITY;
  EXPECT_EQ(count_non_finite(values.data(), DType::kF32, 10000), 5);
  const std::vector<uint16_t> halves = {f32_to_f16(70000.0f), f32_to_f16(65504.0f), 0x7e00};
  EXPECT_EQ(count_non_finite(halves.data(), DType::kF16, 3), 2);
}

// Against the conversion itself, on both sides of each limit.
TEST(FirstTooLarge, IsWhatTheConversionMakesInfinite) {
  const float f16_limit = 65520.0f, bf16_limit = 0x1.ffp127f;
  for (const float limit : {f16_limit, bf16_limit}) {
    for (const float value :
         {std::nextafter(limit, 0.0f), limit, std::nextafter(limit, INFINITY), 1.0f, 0.0f}) {
      for (const float x : {value, -value}) {
        const bool as_f16 = std::isinf(f16_to_f32(f32_to_f16(x))),
                   as_bf16 = std::isinf(bf16_to_f32(f32_to_bf16(x)));
        EXPECT_EQ(first_too_large(&x, DType::kF32, 1, DType::kF16).has_value(), as_f16) << x;
        EXPECT_EQ(first_too_large(&x, DType::kF32, 1, DType::kBF16).has_value(), as_bf16) << x;
        EXPECT_FALSE(first_too_large(&x, DType::kF32, 1, DType::kF32));
        const uint16_t brain = f32_to_bf16(x);
        EXPECT_EQ(first_too_large(&brain, DType::kBF16, 1, DType::kF16).has_value(),
                  std::isinf(f16_to_f32(f32_to_f16(bf16_to_f32(brain)))))
            << x;
      }
    }
  }
  const std::vector<float> values = {1.0f, 65504.0f, 65520.0f, NAN};
  EXPECT_EQ(first_too_large(values.data(), DType::kF32, 4, DType::kF16), 2);
}

}  // namespace
}  // namespace vitrine
