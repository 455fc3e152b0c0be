// SPDX-License-Identifier: MIT
#include "tests/cuda_on_host/fused_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace vitrine::internal::cuda_on_host {
namespace {

std::vector<Element> elements(MmaKind kind, std::istream& in, size_t count) {
  std::vector<Element> list;
  for (uint32_t bits = 0; list.size() < count && in >> std::hex >> bits;)
    list.push_back(element(kind, bits));
  return list;
}

// tools/make_tensor_core_goldens.py has asked MMA-Sim.
TEST(FusedSum, IsWhatWasMeasuredOnHardware) {
  std::ifstream file(VITRINE_SOURCE_DIR "/tests/goldens/tensor_core.txt");
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    std::istringstream in(line);
    std::string generation, type;
    uint32_t before = 0, after = 0;
    in >> generation >> type >> std::hex >> before;
    const MmaKind kind = type == "f16"    ? MmaKind::kF16
                         : type == "bf16" ? MmaKind::kBf16
                                          : MmaKind::kTf32;
    const size_t depth = kind == MmaKind::kTf32 ? 8 : 16;
    const std::vector<Element> left = elements(kind, in, depth), right = elements(kind, in, depth);
    ASSERT_TRUE(in >> std::hex >> after) << line;
    const float found = fused_sum(generation == "Hopper" ? kHopper : kAmpere, kind, left, right,
                                  std::bit_cast<float>(before));
    EXPECT_EQ(std::bit_cast<uint32_t>(found), after) << line;
  }
  EXPECT_GE(cases, 200);
}

TEST(FusedSum, KeepsWhatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Element one = element(MmaKind::kBf16, 0x3f80), zero = element(MmaKind::kBf16, 0),
                minus_two = element(MmaKind::kBf16, 0xc000),
                infinite = element(MmaKind::kBf16, 0x7f80), nan = element(MmaKind::kBf16, 0x7fc0);
  const auto sum = [](const Element& a, const Element& b, float c) {
    return fused_sum(kHopper, MmaKind::kBf16, {&a, 1}, {&b, 1}, c);
  };
  EXPECT_EQ(sum(infinite, one, 1.0f), infinity);
  EXPECT_EQ(sum(minus_two, infinite, 1.0f), -infinity);
  EXPECT_EQ(sum(one, one, -infinity), -infinity);
  EXPECT_TRUE(std::isnan(sum(zero, infinite, 1.0f)));
  EXPECT_TRUE(std::isnan(sum(infinite, zero, 1.0f)));
  EXPECT_TRUE(std::isnan(sum(infinite, one, -infinity)));
  EXPECT_TRUE(std::isnan(sum(nan, one, 1.0f)));
  // The largest finite numbers overflow.
  const Element huge = element(MmaKind::kBf16, 0x7f7f);
  EXPECT_EQ(sum(huge, huge, 0.0f), infinity);
}

// Tiles are filled up with zeros, whose products are not computed one by one.
TEST(FusedSum, ZerosChangeNothingButTheSignOfAZero) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Element minus_zero = element(MmaKind::kBf16, 0x8000), two = element(MmaKind::kBf16, 0x4000),
                infinite = element(MmaKind::kBf16, 0x7f80);
  // Element 0 is multiplied by zero; of element 12 another quarter of the row knows nothing.
  for (const TensorCore& core : {kAmpere, kHopper}) {
    for (const bool zero_on_left : {true, false}) {
      for (const float c : {1.5f, -0x1p-149f, -0.0f, 0.0f, -infinity, 0x1.fffffep127f}) {
        const auto sum = [&](const Element& other, bool product) {
          std::vector<Element> left(16, element(MmaKind::kBf16, 0)), right = left;
          (zero_on_left ? left : right)[0] = minus_zero;
          (zero_on_left ? right : left)[0] = other;
          if (product) left[12] = right[12] = two;
          return fused_sum(core, MmaKind::kBf16, left, right, c);
        };
        EXPECT_EQ(std::bit_cast<uint32_t>(sum(two, false)),
                  std::bit_cast<uint32_t>(c == 0.0f ? 0.0f : c));
        EXPECT_TRUE(std::isnan(sum(infinite, false)));
        EXPECT_TRUE(std::isnan(sum(infinite, true)));
        EXPECT_EQ(std::bit_cast<uint32_t>(sum(two, true)),
                  std::bit_cast<uint32_t>(cut_off(static_cast<double>(c) + 4.0)));
      }
    }
  }
}

TEST(FusedSum, OfAColumnDoesNotDependOnTheOthers) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Element left[] = {element(MmaKind::kF16, 0x3c00), element(MmaKind::kF16, 0xc100)};
  const uint16_t right[8][2] = {{0x3c00, 0x0001}, {0x7c00, 0x3c00}, {0x0000, 0x8000},
                                {0x7bff, 0xfbff}, {0x7e00, 0x0000}, {0x03ff, 0x1234},
                                {0xfc00, 0xfc00}, {0x4500, 0x4501}};
  const float before[8] = {1e-30f, 2.0f, -0.0f, infinity, 1.0f, -7.5f, 3.0f, 1e30f};
  Row row;
  Columns columns;
  float sums[8];
  for (int k = 0; k < 2; ++k) {
    row.set(k, left[k]);
    for (int j = 0; j < 8; ++j) columns.set(k, j, element(MmaKind::kF16, right[j][k]));
  }
  for (const TensorCore& core : {kAmpere, kHopper}) {
    std::copy_n(before, 8, sums);
    fused_sums(core, MmaKind::kF16, row, columns, sums);
    for (int j = 0; j < 8; ++j) {
      const Element own[] = {element(MmaKind::kF16, right[j][0]),
                             element(MmaKind::kF16, right[j][1])};
      const float alone = fused_sum(core, MmaKind::kF16, left, own, before[j]);
      // NaNs differ in their bits.
      EXPECT_EQ(std::isnan(sums[j]), std::isnan(alone)) << j;
      EXPECT_TRUE(std::isnan(alone) ||
                  std::bit_cast<uint32_t>(sums[j]) == std::bit_cast<uint32_t>(alone))
          << j;
    }
  }
}

}  // namespace
}  // namespace vitrine::internal::cuda_on_host
