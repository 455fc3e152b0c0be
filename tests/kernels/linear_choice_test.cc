// SPDX-License-Identifier: MIT
#include <algorithm>
#include <set>

#include "tests/kernels/harness.h"
#include "vitrine/error.h"

// The ways to multiply that a user may choose on a GPU, and the notes of what was chosen.

namespace vitrine::testing {
using namespace internal;
namespace {

TEST(GemmTest, Names) {
  EXPECT_EQ(gemm_from_name("exact"), Gemm::kExact);
  EXPECT_EQ(gemm_from_name("fast"), Gemm::kFast);
  EXPECT_EQ(gemm_from_name("cublas"), Gemm::kCublas);
  for (const char* name : {"", "Fast", "cutlass"}) {
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

// A tile's edge (128 rows, 64 inputs, 64, 128 or 192 outputs) more or less by one, and more tiles
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

std::string line(Size s, DType type, const char* kernel) {
  return "linear " + std::to_string(s.rows) + " x " + std::to_string(s.out) + " x " +
         std::to_string(s.in) + " " + std::string(dtype_name(type)) + ": " + kernel;
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

TEST_P(LinearChoiceTest, FastMatchesTheOracle) {
  const auto backend = make(Gemm::kFast);
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

TEST_P(LinearChoiceTest, FastTakesEveryWidthOfTile) {
  const auto backend = make(Gemm::kFast);
  std::set<std::string> names;
  for (int64_t out : {64, 128, 192}) {
    // As many rows as make one tile of this width for each processor.
    const Problem p(*backend, random, {128 * processors(*backend), 64, out}, DType::kBF16);
    backend->linear(p.all_parts());
    p.expect_right();
  }
  for (const std::string& l : backend->choices()) names.insert(l.substr(l.find(": ")));
  EXPECT_EQ(names,
            (std::set<std::string>{": hopper 128x64", ": hopper 128x128", ": hopper 128x192"}));
}

TEST_P(LinearChoiceTest, FastGivesARowTheSameBitsInEveryTile) {
  const auto backend = make(Gemm::kFast);
  const Size s{560, 330, 193};
  const Problem p(*backend, random, s, DType::kF16);
  backend->linear(p.all_parts());
  const std::vector<float> want = p.out.values(), before = p.before.values();
  for (int64_t count : {128, 200, 333}) {
    const Matrix part(*backend, s.rows, s.out), tap(*backend, s.rows, s.out);
    for (int64_t begin = 0; begin < s.rows; begin += count) {
      const int64_t first = std::min(begin, s.rows - count);  // the last part overlaps
      LinearArgs args = p.all_parts();
      args.x = p.x_at.mat().row_range(first, count);
      args.residual = p.residual_at.mat().row_range(first, count);
      args.before = tap.mat().row_range(first, count);
      args.out = part.mat().row_range(first, count);
      backend->linear(args);
    }
    EXPECT_TRUE(same_bits(part.values(), want) && same_bits(tap.values(), before))
        << count << " rows at once";
  }
  EXPECT_TRUE(all_contain(backend->choices(), ": hopper"));
}

TEST_P(LinearChoiceTest, FastFusedAndComposedFormsGiveTheSameBits) {
  const auto backend = make(Gemm::kFast);
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

TEST_P(LinearChoiceTest, FastLeavesOtherCasesToThePortableKernels) {
  const auto backend = make(Gemm::kFast);
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

TEST_P(LinearChoiceTest, FastTakesAnAlignedPartOfTheInputs) {
  const auto backend = make(Gemm::kFast);
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

TEST_P(LinearChoiceTest, ExactNeverTakesIt) {
  const auto backend = make(Gemm::kExact);
  const Size s{257, 72, 65};
  const Problem p(*backend, random, s, DType::kBF16);
  backend->linear(p.all_parts());
  p.expect_right();
  EXPECT_EQ(backend->choices(), std::vector<std::string>{line(s, DType::kBF16, "portable")});
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
