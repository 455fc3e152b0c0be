// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <set>

#include "tests/kernels/harness.h"
#include "vitrine/error.h"

// Which kernels multiply on a GPU, by the shape or by a user's choice, and the notes of it.

namespace vitrine::testing {
using namespace internal;
namespace {

TEST(GemmTest, Names) {
  EXPECT_EQ(gemm_from_name("exact"), Gemm::kExact);
  EXPECT_EQ(gemm_from_name("cublas"), Gemm::kCublas);
  for (const char* name : {"", "fast", "Exact", "cutlass"}) {
    try {
      gemm_from_name(name);
      ADD_FAILURE() << "'" << name << "' was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::kUser);
    }
  }
}

/// Every case runs on a device that has Hopper's instructions, or is skipped.
class LinearChoiceTest : public ::testing::TestWithParam<GemmCase> {
 protected:
  std::unique_ptr<Backend> make(Gemm gemm) const { return GetParam().make(gemm); }
  std::mt19937 random{20240229};
};

struct Size {
  int64_t rows, in, out;
};

// A tile's edge (128 rows, 64 inputs, 64 to 192 outputs) more or less by one, and more tiles
// than a processor has.
constexpr Size kSizes[] = {{128, 64, 64},  {129, 65, 63},   {127 + 128, 127, 128}, {257, 200, 129},
                           {200, 72, 380}, {140, 520, 191}, {130, 136, 193},       {385, 66, 449},
                           {128, 640, 1},  {640, 64, 200}};

struct Problem {
  Problem(Backend& backend, std::mt19937& random, Size s, DType type, DType out_type = DType::kF32)
      : size(s),
        x(rounded(normal(random, s.rows * s.in), type)),
        bias(normal(random, s.out)),
        residual(normal(random, s.rows * s.out)),
        weight(make_weight(backend, random, s.in, s.out, type)),
        // 8 elements, so that rows stay aligned to 16 bytes.
        x_at(backend, x, s.rows, s.in, (s.in + 15) / 8 * 8, type),
        bias_at(backend, bias, 1, s.out),
        residual_at(backend, residual, s.rows, s.out, s.out + 5),
        out(backend, s.rows, s.out, s.out + 3, out_type),
        before(backend, s.rows, s.out, s.out + 1) {}

  LinearArgs sums_alone() const {
    LinearArgs result;
    result.x = x_at;
    result.weight = &weight.packed;
    result.out = out;
    return result;
  }
  LinearArgs all_parts() const {
    LinearArgs result = sums_alone();
    result.bias = bias_at.data();
    result.activation = Activation::kGeluTanh;
    result.residual = residual_at;
    result.before = before;
    return result;
  }
  Vec sums(bool with_bias) const {
    return reference::linear(reference::widen(x), weight.values,
                             with_bias ? reference::widen(bias) : Vec{}, size.rows, size.in,
                             size.out);
  }
  Vec tolerances() const {
    const Vec terms =
        reference::linear(magnitudes(reference::widen(x)), magnitudes(weight.values),
                          magnitudes(reference::widen(bias)), size.rows, size.in, size.out);
    Vec result = reference::add(terms, magnitudes(reference::widen(residual)));
    for (double& t : result)
      t = tolerance::kSteepestActivation * tolerance::kLinear(size.in, t) +
          rounding(out.mat().dtype) * t;
    return result;
  }
  void expect_right() const {
    EXPECT_TRUE(near(before.values(), sums(true), tolerances()));
    const Vec want = reference::add(reference::activate(sums(true), Activation::kGeluTanh),
                                    reference::widen(residual));
    EXPECT_TRUE(near(out.values(), want, tolerances()));
    EXPECT_TRUE(out.untouched_outside() && before.untouched_outside());
  }

  Size size;
  std::vector<float> x, bias, residual;
  Weight weight;
  Matrix x_at, bias_at, residual_at, out, before;
};

/// Whether this size went to a kernel whose name begins so.
bool was_taken(const Backend& backend, Size s, DType type, const char* kernel) {
  const std::string line = "linear " + std::to_string(s.rows) + " x " + std::to_string(s.out) +
                           " x " + std::to_string(s.in) + " " + std::string(dtype_name(type)) +
                           ": " + kernel;
  const std::vector<std::string> lines = backend.choices();
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& l) { return l.starts_with(line); });
}

/// From "cuda (name, sm_90, 132 processors)".
int processors(const Backend& backend) {
  const std::string text = backend.description();
  return std::stoi(text.substr(text.rfind(", ") + 2));
}

bool all_contain(const std::vector<std::string>& lines, const std::string& what) {
  return std::all_of(lines.begin(), lines.end(),
                     [&](const std::string& l) { return l.find(what) != std::string::npos; });
}

TEST_P(LinearChoiceTest, HopperMatchesTheOracle) {
  const auto backend = make(Gemm::kExact);
  for (DType type : {DType::kBF16, DType::kF16}) {
    for (Size s : kSizes) {
      SCOPED_TRACE(::testing::Message()
                   << dtype_name(type) << " " << s.rows << " x " << s.in << " x " << s.out);
      const Problem p(*backend, random, s, type, s.out % 2 == 0 ? type : DType::kF32);
      backend->linear(p.all_parts());
      p.expect_right();
    }
  }
  EXPECT_TRUE(all_contain(backend->choices(), ": hopper 128x"));
}

TEST_P(LinearChoiceTest, HopperTakesEveryWidthOfTileAndSharesEitherOperand) {
  const auto backend = make(Gemm::kExact);
  const int64_t tiles = processors(*backend);  // one for each, below or beside each other
  constexpr int64_t kWidths[] = {64, 128, 144, 160, 176, 192};
  for (int64_t width : kWidths) {
    for (Size size : {Size{128 * tiles, 72, width}, {128, 72, tiles * width}}) {
      const Problem p(*backend, random, size, DType::kBF16);
      backend->linear(p.all_parts());
      p.expect_right();
    }
  }
  std::set<std::string> names;
  for (const std::string& l : backend->choices()) names.insert(l.substr(l.find(": ")));
  for (int64_t width : kWidths)
    EXPECT_EQ(names.count(": hopper 128x" + std::to_string(width) + ", weights shared by 2"), 1u);
  EXPECT_TRUE(std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.ends_with(", rows shared by 2");
  }));
}

// What everything else of bits rests on, so tools/device_check.sh begins with it: one instruction
// of each kind gives the same sums. Sizes of products are far apart, so that most of them are cut
// off.
TEST_P(LinearChoiceTest, BothInstructionsGiveTheSameBits) {
  const auto backend = make(Gemm::kExact);
  constexpr int64_t kRows = 128, kIn = 64, kOut = 64, kUsed = 16, kAtOnce = 16;
  for (DType type : {DType::kBF16, DType::kF16}) {
    std::vector<float> x = normal(random, kRows * kIn), w = normal(random, kOut * kIn);
    for (std::vector<float>* values : {&x, &w}) {
      for (size_t i = 0; i < values->size(); ++i) {
        const auto shift = static_cast<int>(random() % 14) - 7;
        (*values)[i] = i % kIn < kUsed ? std::ldexp((*values)[i], shift) : 0.0f;
      }
    }
    const Weight weight = pack_weight(*backend, w, kIn, kOut, type, Order::kOutIn);
    const Matrix at(*backend, rounded(x, type), kRows, kIn, kIn, type), many(*backend, kRows, kOut),
        few(*backend, kRows, kOut);
    backend->linear({.x = at, .weight = &weight.packed, .out = many});
    for (int64_t row = 0; row < kRows; row += kAtOnce) {
      backend->linear({.x = at.mat().row_range(row, kAtOnce),
                       .weight = &weight.packed,
                       .out = few.mat().row_range(row, kAtOnce)});
    }
    EXPECT_TRUE(same_bits(many.values(), few.values())) << dtype_name(type);
    EXPECT_TRUE(was_taken(*backend, {kRows, kIn, kOut}, type, "hopper 128x64"));
    EXPECT_TRUE(was_taken(*backend, {kAtOnce, kIn, kOut}, type, "portable"));
  }
}

std::vector<float> rows_of(const std::vector<float>& values, int64_t first, int64_t count,
                           int64_t columns) {
  const auto begin = values.begin() + first * columns;
  return {begin, begin + count * columns};
}

TEST_P(LinearChoiceTest, ARowHasTheSameBitsInEveryKernelAndTile) {
  const auto backend = make(Gemm::kExact);
  // Parts of 256 inputs: one step of a tile, four of which the last is short, a whole part, three
  // parts.
  for (const auto& [size, type] : {std::pair{Size{560, 64, 70}, DType::kF16},
                                   {{400, 200, 129}, DType::kBF16},
                                   {{330, 256, 193}, DType::kF16},
                                   {{560, 521, 193}, DType::kBF16}}) {
    const Problem p(*backend, random, size, type);
    backend->linear(p.all_parts());
    EXPECT_TRUE(was_taken(*backend, size, type, "hopper"));
    const std::vector<float> want = p.out.values(), before = p.before.values();
    for (int64_t count : {1, 8, 16, 17, 64, 65, 127, 128, 200, 323}) {
      for (int64_t begin = 0; begin < size.rows; begin += std::max<int64_t>(count, 61)) {
        const int64_t first = std::min(begin, size.rows - count);  // the last rows overlap
        const Matrix part(*backend, count, size.out), tap(*backend, count, size.out);
        LinearArgs args = p.all_parts();
        args.x = p.x_at.mat().row_range(first, count);
        args.residual = p.residual_at.mat().row_range(first, count);
        args.before = tap;
        args.out = part;
        backend->linear(args);
        ASSERT_TRUE(same_bits(part.values(), rows_of(want, first, count, size.out)) &&
                    same_bits(tap.values(), rows_of(before, first, count, size.out)))
            << count << " rows from " << first << " of " << size.in << " inputs";
      }
    }
    EXPECT_TRUE(was_taken(*backend, {127, size.in, size.out}, type, "portable"));
  }
}

TEST_P(LinearChoiceTest, FusedAndComposedFormsGiveTheSameBits) {
  const auto backend = make(Gemm::kExact);
  const Size s{150, 80, 70};
  const Problem p(*backend, random, s, DType::kBF16);
  for (Activation activation : kActivations) {
    LinearArgs args = p.all_parts();
    args.activation = activation;
    backend->linear(args);
    const Matrix in_place(*backend, p.residual, s.rows, s.out), y(*backend, s.rows, s.out),
        activated(*backend, s.rows, s.out), sum(*backend, s.rows, s.out);
    args.before = {};
    args.out = args.residual = in_place;
    backend->linear(args);
    args.activation = Activation::kNone;
    args.residual = {};
    args.out = y;
    backend->linear(args);
    backend->activate(y, activation, activated);
    backend->add(activated, p.residual_at, sum);
    EXPECT_TRUE(same_bits(p.before.values(), y.values()));
    EXPECT_TRUE(same_bits(p.out.values(), sum.values()))
        << "activation " << static_cast<int>(activation);
    EXPECT_TRUE(same_bits(in_place.values(), sum.values()));
  }
}

TEST_P(LinearChoiceTest, HopperLeavesOtherCasesToThePortableKernels) {
  const auto backend = make(Gemm::kExact);
  const Size s{128, 64, 40}, few{127, 64, 40}, narrow{128, 63, 40};
  for (const auto& [size, type] :
       {std::pair{s, DType::kF32}, std::pair{few, DType::kBF16}, std::pair{narrow, DType::kBF16}}) {
    const Problem p(*backend, random, size, type);
    backend->linear(p.all_parts());
    p.expect_right();
  }
  const Problem p(*backend, random, {128, 80, 41}, DType::kF16);
  const PackedMatrix part = p.weight.packed.inputs(1, 70);  // not aligned
  LinearArgs args = p.sums_alone();
  args.weight = &part;
  args.x = p.x_at.mat().columns(1, 70);
  backend->linear(args);
  EXPECT_EQ(backend->choices().size(), 4u);
  EXPECT_TRUE(all_contain(backend->choices(), ": portable"));
}

TEST_P(LinearChoiceTest, HopperTakesAnAlignedPartOfTheInputs) {
  const auto backend = make(Gemm::kExact);
  const Size s{128, 160, 40};
  const Problem p(*backend, random, s, DType::kBF16);
  const PackedMatrix part = p.weight.packed.inputs(40, 70);
  LinearArgs args = p.sums_alone();
  args.weight = &part;
  args.x = p.x_at.mat().columns(40, 70);
  backend->linear(args);
  Vec x = reference::widen(p.x);
  for (int64_t i = 0; i < s.rows * s.in; ++i) {
    if (i % s.in < 40 || i % s.in >= 110) x[static_cast<size_t>(i)] = 0.0;
  }
  EXPECT_TRUE(near(p.out.values(), reference::linear(x, p.weight.values, {}, s.rows, s.in, s.out),
                   p.tolerances()));
  EXPECT_TRUE(all_contain(backend->choices(), ": hopper"));
}

TEST_P(LinearChoiceTest, CublasMatchesTheOracle) {
  std::unique_ptr<Backend> backend;
  try {
    backend = make(Gemm::kCublas);
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  for (DType type : kWeightTypes) {
    for (Size s : {Size{1, 64, 300}, Size{5, 40, 64}, Size{130, 264, 65}}) {
      const Problem p(*backend, random, s, type, s.rows == 5 ? type : DType::kF32);
      backend->linear(p.all_parts());
      p.expect_right();
      backend->linear(p.sums_alone());
      EXPECT_TRUE(near(p.out.values(), p.sums(false), p.tolerances()));
    }
  }
  EXPECT_TRUE(all_contain(backend->choices(), ": cublas"));
}

INSTANTIATE_TEST_SUITE_P(Devices, LinearChoiceTest, ::testing::ValuesIn(gemm_cases()),
                         [](const ::testing::TestParamInfo<GemmCase>& one) {
                           return one.param.name;
                         });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LinearChoiceTest);

}  // namespace
}  // namespace vitrine::testing
