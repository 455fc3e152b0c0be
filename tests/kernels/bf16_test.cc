// SPDX-License-Identifier: MIT
// Products of bf16 arithmetic: every unit that multiplies gives the bits of one definition,
// whatever the numbers of rows, inputs, outputs and threads. The instructions of AVX-512 and AMX
// are emulated by their published operation; where the processor has them, they run themselves,
// too.

#include "kernels/cpu/bf16_linear.h"
#include "tests/kernels/emulated_bf16.h"
#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class Bf16Test : public KernelTest {
 protected:
  /// The portable product, with the vectors of the backend; the others once.
  std::vector<const cpu::Bf16Unit*> units() const {
    if (GetParam().name != "cpu_bf16") return {&cpu::kPortableBf16};
    std::vector<const cpu::Bf16Unit*> all = {&kEmulatedDots, &kEmulatedTiles};
    if (&cpu::bf16_unit() != &cpu::kPortableBf16) all.push_back(&cpu::bf16_unit());
    return all;
  }
};

struct Shape {
  int64_t rows, in, out;
};

/// The definition (kernels/cpu/bf16_product.h) in plain loops, of numbers that bfloat16 holds.
std::vector<float> defined(const std::vector<float>& x, const std::vector<float>& weights,
                           Shape s) {
  std::vector<float> y;
  for (int64_t r = 0; r < s.rows; ++r) {
    for (int64_t o = 0; o < s.out; ++o) {
      float sum = 0.0f;
      for (int64_t begin = 0; begin < s.in; begin += 32) {
        float chains[2] = {};
        for (int64_t i = begin; i < std::min(begin + 32, s.in); ++i) {
          const float product =
              x[static_cast<size_t>(r * s.in + i)] * weights[static_cast<size_t>(i * s.out + o)];
          chains[i % 2] += product;  // the product is exact
        }
        const float chunk = chains[0] + chains[1];
        sum += chunk;
      }
      y.push_back(sum);
    }
  }
  return y;
}

void expect_defined_bits(Backend& backend, const cpu::Bf16Unit& unit, std::mt19937& random, Shape s,
                         int threads) {
  SCOPED_TRACE(::testing::Message() << unit.name << ", " << s.rows << " x " << s.in << " x "
                                    << s.out << ", " << threads << " threads");
  const std::vector<float> x = rounded(normal(random, s.rows * s.in), DType::kBF16),
                           weights = rounded(normal(random, s.in * s.out, 0.5f), DType::kBF16);
  const Weight packed = pack_weight(backend, weights, s.in, s.out, DType::kBF16, Order::kInOut);
  const Matrix at(backend, x, s.rows, s.in, s.in + 3, DType::kBF16),
      out(backend, s.rows, s.out, s.out + 2), narrow(backend, s.rows, s.out, 0, DType::kBF16);
  cpu::ScratchPool scratch;
  LinearArgs args;
  args.x = at;
  args.weight = &packed.packed;
  args.out = out;
  cpu::linear_bf16(args, unit, threads, scratch);
  const std::vector<float> want = defined(x, weights, s);
  EXPECT_TRUE(same_bits(out.values(), want));
  args.out = narrow;
  cpu::linear_bf16(args, unit, threads, scratch);
  EXPECT_TRUE(same_bits(narrow.values(), rounded(want, DType::kBF16)));
  EXPECT_TRUE(out.untouched_outside() && narrow.untouched_outside());
}

// A chunk, a tile, a panel, a pair of either, a block of inputs and a task's rows, more or less by
// one.
TEST_P(Bf16Test, EveryUnitGivesTheBitsOfTheDefinition) {
  if (GetParam().on_device) GTEST_SKIP() << "a processor's";
  for (const cpu::Bf16Unit* unit : units()) {
    for (const Shape s : {Shape{1, 1, 1}, Shape{2, 31, 15}, Shape{15, 32, 16}, Shape{16, 33, 17},
                          Shape{17, 63, 31}, Shape{31, 64, 32}, Shape{32, 65, 33},
                          Shape{33, 511, 47}, Shape{7, 513, 65}, Shape{5, 1025, 20}})
      expect_defined_bits(*backend, *unit, random, s, 1);
    expect_defined_bits(*backend, *unit, random, {40, 70, 200}, 3);
    if (!slow_build()) expect_defined_bits(*backend, *unit, random, {259, 40, 70}, 2);
  }
}

// The last row is the same alone as after any number of others.
TEST_P(Bf16Test, ARowAloneHasTheBitsOfTheRowAmongOthers) {
  if (GetParam().on_device) GTEST_SKIP() << "a processor's";
  constexpr int64_t kRows = 70, kIn = 100, kOut = 50;
  const Matrix x(*backend, normal(random, kRows * kIn), kRows, kIn, 0, DType::kBF16);
  const Weight weight = make_weight(*backend, random, kIn, kOut, DType::kI8);
  cpu::ScratchPool scratch;
  for (const cpu::Bf16Unit* unit : units()) {
    std::vector<float> alone;
    for (const int64_t rows : {1, 2, 15, 16, 17, 31, 32, 33, 64, 70}) {
      const Matrix out(*backend, rows, kOut);
      LinearArgs args;
      args.x = x.mat().row_range(kRows - rows, rows);
      args.weight = &weight.packed;
      args.out = out;
      cpu::linear_bf16(args, *unit, 1 + static_cast<int>(rows % 3), scratch);
      const std::vector<float> all = out.values(), last(all.end() - kOut, all.end());
      if (alone.empty()) alone = last;
      EXPECT_TRUE(same_bits(last, alone)) << unit->name << ", " << rows << " rows";
    }
  }
}

// What is below the normal numbers is 0 to the instructions. They differ from one another nowhere
// else.
TEST(EmulatedBf16Test, TakesWhatIsBelowTheNormalNumbersForZero) {
  EXPECT_EQ(fused(0.0f, f32_to_bf16(0x1p-100f), f32_to_bf16(0x1p-27f)), 0.0f);
  EXPECT_EQ(fused(0x1p-130f, f32_to_bf16(1.0f), f32_to_bf16(0x1p-126f)), 0x1p-126f);
  EXPECT_EQ(fused(1.0f, f32_to_bf16(3.0f), f32_to_bf16(0.5f)), 2.5f);
}

VITRINE_FOR_EACH_BACKEND(Bf16Test);

}  // namespace
}  // namespace vitrine::testing
