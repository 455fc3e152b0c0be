#include <tuple>

#include "tests/kernels/harness.h"

namespace vitrine::testing {
namespace {

class LinearTest : public KernelTest {};

struct Size {
  int64_t rows, in, out;
};

// One, odd, a panel and a tile of rows more or less by one; then what GPT-2 uses.
std::vector<Size> sizes(bool slow) {
  std::vector<Size> list = {{1, 1, 1},    {1, 7, 15},     {2, 16, 16},   {3, 33, 17},  {4, 5, 31},
                            {5, 64, 33},  {6, 255, 48},   {7, 256, 65},  {8, 257, 16}, {11, 300, 80},
                            {12, 513, 1}, {13, 100, 130}, {25, 31, 257}, {97, 40, 50}};
  if (!slow)
    list.insert(list.end(), {{1, 768, 2304}, {2, 1024, 3072}, {5, 1600, 640}, {64, 768, 768}, {33, 3072, 768}, {3, 768, 5025}});
  return list;
}

struct Problem {
  Problem(Backend& backend, std::mt19937& random, Size size, DType dtype)
      : x(normal(random, size.rows * size.in)),
        bias(normal(random, size.out)),
        residual(normal(random, size.rows * size.out)),
        weight(make_weight(backend, random, size.in, size.out, dtype)),
        x_at(backend, x, size.rows, size.in, size.in + 3),
        bias_at(backend, bias, 1, size.out),
        residual_at(backend, residual, size.rows, size.out, size.out + 5) {}

  LinearArgs args(Mat out) const {
    LinearArgs result;
    result.x = x_at;
    result.weight = &weight.packed;
    result.bias = bias_at.data();
    result.out = out;
    return result;
  }

  std::vector<float> x, bias, residual;
  Weight weight;
  Matrix x_at, bias_at, residual_at;
};

Vec tolerances(const Problem& p, Size s) {
  const Vec terms = reference::linear(magnitudes(reference::widen(p.x)), magnitudes(p.weight.values),
                                      magnitudes(reference::widen(p.bias)), s.rows, s.in, s.out);
  Vec result = reference::add(terms, magnitudes(reference::widen(p.residual)));
  for (double& t : result) t = tolerance::kSteepestActivation * tolerance::kLinear(s.in, t);
  return result;
}

TEST_P(LinearTest, MatchesTheOracle) {
  for (DType dtype : kWeightTypes) {
    for (Size s : sizes(slow_build() || GetParam().name == "cpu_SCALAR")) {
      SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " " << s.rows << " x " << s.in << " x " << s.out);
      const Problem p(*backend, random, s, dtype);
      const Matrix out(*backend, s.rows, s.out, s.out + 2), before(*backend, s.rows, s.out, s.out + 1);
      LinearArgs args = p.args(out);
      args.activation = Activation::kGeluTanh;
      args.residual = p.residual_at;
      args.before = before;
      backend->linear(args);

      const Vec want = reference::linear(reference::widen(p.x), p.weight.values, reference::widen(p.bias), s.rows, s.in, s.out);
      const Vec tolerance = tolerances(p, s);
      EXPECT_TRUE(near(before.values(), want, tolerance));
      const Vec final = reference::add(reference::activate(want, Activation::kGeluTanh), reference::widen(p.residual));
      EXPECT_TRUE(near(out.values(), final, tolerance));
      EXPECT_TRUE(out.untouched_outside() && before.untouched_outside());
    }
  }
}

TEST_P(LinearTest, OneRowOrManyGiveTheSameBits) {
  for (DType dtype : kWeightTypes) {
    const Size s{slow_build() ? 30 : 100, 531, 205};
    const Problem p(*backend, random, s, dtype);
    const Matrix all(*backend, s.rows, s.out);
    backend->linear(p.args(all));
    const std::vector<float> want = all.values();
    for (int64_t count : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17, 29}) {
      const Matrix part(*backend, s.rows, s.out);
      for (int64_t begin = 0; begin < s.rows; begin += count) {
        const int64_t rows = std::min(count, s.rows - begin);
        LinearArgs args = p.args(part.mat().row_range(begin, rows));
        args.x = p.x_at.mat().row_range(begin, rows);
        backend->linear(args);
      }
      EXPECT_TRUE(same_bits(part.values(), want)) << dtype_name(dtype) << ", " << count << " rows at once";
    }
  }
}

TEST_P(LinearTest, AnyNumberOfThreadsGivesTheSameBits) {
  for (const auto& [rows, in, out] : {Size{1, 300, 700}, Size{4, 300, 700}, Size{70, 300, 401}}) {
    const Problem p(*backend, random, {rows, in, out}, DType::kBF16);
    std::vector<float> want;
    for (int threads : {1, 2, 3, 7}) {
      const auto other = with_threads(threads);
      const Matrix result(*other, rows, out);
      other->linear(p.args(result));
      if (want.empty()) want = result.values();
      EXPECT_TRUE(same_bits(result.values(), want)) << threads << " threads, " << rows << " rows";
    }
  }
}

TEST_P(LinearTest, FusedAndComposedFormsGiveTheSameBits) {
  for (const auto& [rows, in, out] : {Size{1, 270, 99}, Size{3, 270, 99}, Size{40, 270, 99}}) {
    for (Activation activation : {Activation::kNone, Activation::kGeluTanh, Activation::kGeluErf, Activation::kGeluQuick,
                                  Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
      const Problem p(*backend, random, {rows, in, out}, DType::kF16);
      const Matrix fused(*backend, rows, out), before(*backend, rows, out), untapped(*backend, p.residual, rows, out);
      LinearArgs args = p.args(fused);
      args.activation = activation;
      args.residual = p.residual_at;
      args.before = before;
      backend->linear(args);
      args.before = {};
      args.out = args.residual = untapped;  // in place
      backend->linear(args);

      const Matrix y(*backend, rows, out), activated(*backend, rows, out), sum(*backend, rows, out);
      backend->linear(p.args(y));
      backend->activate(y, activation, activated);
      backend->add(activated, p.residual_at, sum);
      EXPECT_TRUE(same_bits(before.values(), y.values()));
      EXPECT_TRUE(same_bits(fused.values(), sum.values()))
          << "activation " << static_cast<int>(activation) << ", rows " << rows;
      EXPECT_TRUE(same_bits(untapped.values(), sum.values()));
    }
  }
}

TEST_P(LinearTest, PartOfTheInputs) {
  const Size s{5, 96, 40};
  const Problem p(*backend, random, s, DType::kF32);
  const Matrix out(*backend, s.rows, s.out);
  const PackedMatrix part = p.weight.packed.inputs(32, 48);
  LinearArgs args = p.args(out);
  args.x = p.x_at.mat().columns(32, 48);
  args.weight = &part;
  backend->linear(args);
  Vec x = reference::widen(p.x);
  for (int64_t i = 0; i < s.rows * s.in; ++i) {
    if (i % s.in < 32 || i % s.in >= 80) x[static_cast<size_t>(i)] = 0.0;
  }
  const Vec want = reference::linear(x, p.weight.values, reference::widen(p.bias), s.rows, s.in, s.out);
  EXPECT_TRUE(near(out.values(), want, tolerances(p, s)));
}

VITRINE_FOR_EACH_BACKEND(LinearTest);

}  // namespace
}  // namespace vitrine::testing
