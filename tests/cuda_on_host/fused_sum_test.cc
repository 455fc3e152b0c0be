// SPDX-License-Identifier: MIT
#include "tests/cuda_on_host/fused_sum.h"

#include <gtest/gtest.h>

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
                infinite = element(MmaKind::kBf16, 0x7f80), nan = element(MmaKind::kBf16, 0x7fc0);
  const auto sum = [](const Element& a, const Element& b, float c) {
    return fused_sum(kHopper, MmaKind::kBf16, {&a, 1}, {&b, 1}, c);
  };
  EXPECT_EQ(sum(infinite, one, 1.0f), infinity);
  EXPECT_EQ(sum(one, one, -infinity), -infinity);
  EXPECT_TRUE(std::isnan(sum(infinite, zero, 1.0f)));
  EXPECT_TRUE(std::isnan(sum(infinite, one, -infinity)));
  EXPECT_TRUE(std::isnan(sum(nan, one, 1.0f)));
  // The largest finite numbers overflow.
  const Element huge = element(MmaKind::kBf16, 0x7f7f);
  EXPECT_EQ(sum(huge, huge, 0.0f), infinity);
}

// As an instruction's operands are gathered: the values of a finite one are not written down.
TEST(FusedSum, MultipliesAnInfinityByAFiniteOperand) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Element minus_two = element(MmaKind::kBf16, 0xc000);
  Operand left, right;
  left.significand[0][0] = minus_two.significand;
  left.exponent[0][0] = minus_two.exponent;
  right.finite = false;
  right.value[0] = infinity;
  EXPECT_EQ(fused_sum(kHopper, MmaKind::kBf16, left, right, 1.0f), -infinity);
}

}  // namespace
}  // namespace vitrine::internal::cuda_on_host
