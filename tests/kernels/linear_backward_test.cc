// SPDX-License-Identifier: MIT
#include "tests/kernels/linear_support.h"
#include "tests/reference/adjoints.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class LinearBackwardTest : public KernelTest {};

// The gradient is summed over `out`. One, odd, a panel of outputs and a tile of rows more or less
// by one, long sums more or less than a block by one; rows on both sides of where another kernel
// takes over. Then what GPT-2 uses; where there are many rows, a part of its inputs, whose number
// only decides how many threads share them.
std::vector<Size> sizes(bool slow) {
  std::vector<Size> list = {
      {1, 1, 1},     {1, 15, 7},     {2, 16, 16},   {3, 17, 33},   {4, 31, 5},      {5, 33, 64},
      {6, 48, 255},  {7, 65, 256},   {8, 16, 257},  {1, 9, 319},   {2, 24, 320},    {11, 80, 321},
      {12, 1, 513},  {24, 130, 100}, {25, 257, 31}, {29, 40, 264}, {1, 16, 4360},   {40, 8, 2568},
      {64, 70, 136}, {97, 50, 40},   {70, 36, 776}, {65, 20, 31},  {130, 200, 272}, {129, 257, 35}};
  if (!slow) {
    list.insert(list.end(), {{1, 768, 2304},
                             {2, 1024, 3072},
                             {5, 1600, 640},
                             {64, 200, 768},
                             {33, 136, 3072},
                             {3, 200, 5025}});
  }
  return list;
}

struct Problem {
  Problem(Backend& backend, std::mt19937& random, Size size, DType dtype, DType dy_type,
          Rows rows = Rows::kAnywhere)
      : dy(normal(random, size.rows * size.out)),
        before(normal(random, size.rows * size.in, 1.5f)),
        residual(normal(random, size.rows * size.in)),
        weight(make_weight(backend, random, size.in, size.out, dtype)),
        dy_at(backend, dy, size.rows, size.out, stride_of(size.out, rows, 3), dy_type),
        before_at(backend, before, size.rows, size.in, stride_of(size.in, rows, 1)),
        residual_at(backend, residual, size.rows, size.in, stride_of(size.in, rows, 5)) {
    // A device multiplies numbers of the weights' type.
    dy = rounded(dy, backend.activation_dtype(dtype));
  }

  LinearBackwardArgs args(Mat dx) const {
    LinearBackwardArgs result;
    result.dy = dy_at;
    result.weight = &weight.packed;
    result.dx = dx;
    return result;
  }

  /// With everything that is optional.
  LinearBackwardArgs full_args(Mat dx, Activation activation) const {
    LinearBackwardArgs result = args(dx);
    result.activation = activation;
    result.before = before_at;
    result.residual = residual_at;
    return result;
  }

  std::vector<float> dy, before, residual;
  Weight weight;
  Matrix dy_at, before_at, residual_at;
};

/// Some rows of the same operation.
LinearBackwardArgs row_range(LinearBackwardArgs args, int64_t begin, int64_t count) {
  for (Mat* mat : {&args.dy, &args.before, &args.residual, &args.dx, &args.product}) {
    if (*mat) *mat = mat->row_range(begin, count);
  }
  return args;
}

void match_the_oracle(Backend& backend, const Problem& p, Size s, DType out_type, Rows rows) {
  const Matrix dx(backend, s.rows, s.in, stride_of(s.in, rows, 2), out_type),
      product(backend, s.rows, s.in, stride_of(s.in, rows, 1));
  LinearBackwardArgs args = p.full_args(dx, Activation::kGeluTanh);
  args.product = product;
  backend.linear_backward(args);

  const Vec dy = reference::widen(p.dy), before = reference::widen(p.before);
  const Vec want = reference::linear_backward(dy, p.weight.values, s.rows, s.in, s.out);
  const Vec terms =
      reference::linear_backward(magnitudes(dy), magnitudes(p.weight.values), s.rows, s.in, s.out);
  const Vec final =
      reference::add(reference::activate_backward(want, before, Activation::kGeluTanh),
                     reference::widen(p.residual));
  Vec product_tolerance, tolerance;
  for (size_t i = 0; i < terms.size(); ++i) {
    product_tolerance.push_back(tolerance::kLinearBackward(s.out, terms[i]));
    const auto [gate, bend] = reference::activation_slope_terms(before[i], Activation::kGeluTanh);
    const double slope_error = tolerance::kSlope(1, std::abs(gate) + std::abs(bend));
    tolerance.push_back(
        tolerance::kLinearBackward(
            s.out, tolerance::kSteepestActivation * terms[i] + std::abs(p.residual[i])) +
        slope_error * std::abs(want[i]) + rounding(out_type) * std::abs(final[i]));
  }
  EXPECT_TRUE(near(product.values(), want, product_tolerance));
  EXPECT_TRUE(near(dx.values(), final, tolerance));
  EXPECT_TRUE(dx.untouched_outside() && product.untouched_outside());
}

TEST_P(LinearBackwardTest, MatchesTheOracle) {
  for (DType dtype : GetParam().weight_types()) {
    for (Size s : sizes(slow_build() || slow_backend(GetParam()))) {
      for (Rows rows : {Rows::kAligned, Rows::kAnywhere}) {
        SCOPED_TRACE(::testing::Message()
                     << dtype_name(dtype) << " " << s.rows << " x " << s.in << " x " << s.out);
        const DType kept = backend->activation_dtype(dtype);
        match_the_oracle(*backend, Problem(*backend, random, s, dtype, kept, rows), s,
                         rows == Rows::kAligned ? kept : DType::kF32, rows);
      }
    }
  }
}

// What begins a backward pass: one row of seeds and the whole unembedding.
TEST_P(LinearBackwardTest, MatchesTheOracleForAWholeVocabulary) {
  const Size s{1, slow_build() || slow_backend(GetParam()) ? 40 : 768, 50257};
  const Problem p(*backend, random, s, DType::kBF16, backend->activation_dtype(DType::kBF16),
                  Rows::kAligned);
  match_the_oracle(*backend, p, s, DType::kF32, Rows::kAligned);
}

TEST_P(LinearBackwardTest, TakesAndGivesFloatsBesideNarrowWeights) {
  for (DType dtype : GetParam().weight_types()) {
    for (Size s : {Size{1, 20, 300}, Size{9, 33, 64}, Size{70, 36, 264}}) {
      for (DType dy_type : {DType::kF32, backend->activation_dtype(dtype)}) {
        for (DType out_type : {DType::kF32, backend->activation_dtype(dtype)}) {
          SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " of " << dtype_name(dy_type)
                                            << " to " << dtype_name(out_type));
          match_the_oracle(*backend, Problem(*backend, random, s, dtype, dy_type), s, out_type,
                           Rows::kAnywhere);
        }
      }
    }
  }
}

// What linear() does is undone by linear_backward() of the same packed weight: <dy, x W> = <dy W^T,
// x>.
TEST_P(LinearBackwardTest, IsTheAdjointOfLinear) {
  const Size s{13, 40, 70};
  for (DType dtype : GetParam().weight_types()) {
    const DType kept = backend->activation_dtype(dtype);
    const Problem p(*backend, random, s, dtype, kept);
    const std::vector<float> x = rounded(normal(random, s.rows * s.in), kept);
    const Matrix x_at(*backend, x, s.rows, s.in, 0, kept), y(*backend, s.rows, s.out),
        dx(*backend, s.rows, s.in);
    LinearArgs forward;
    forward.x = x_at;
    forward.weight = &p.weight.packed;
    forward.out = y;
    backend->linear(forward);
    backend->linear_backward(p.args(dx));
    const std::vector<float> y_values = y.values(), dx_values = dx.values();
    double over_outputs = 0.0, over_inputs = 0.0, size = 0.0;
    for (size_t i = 0; i < p.dy.size(); ++i)
      over_outputs += static_cast<double>(p.dy[i]) * y_values[i],
          size += std::abs(p.dy[i] * y_values[i]);
    for (size_t i = 0; i < x.size(); ++i)
      over_inputs += static_cast<double>(x[i]) * dx_values[i],
          size += std::abs(x[i] * dx_values[i]);
    // Each product of three numbers is rounded as a sum over its own axis.
    EXPECT_NEAR(over_outputs, over_inputs,
                tolerance::kLinear(s.in, size) + tolerance::kLinearBackward(s.out, size))
        << dtype_name(dtype);
  }
}

TEST_P(LinearBackwardTest, OneRowOrManyGiveTheSameBits) {
  const bool slow = slow_build() || slow_backend(GetParam());
  for (DType dtype : GetParam().weight_types()) {
    for (Size s : {Size{110, 140, 531}, Size{110, 140, 272}}) {
      const Problem p(*backend, random, s, dtype, backend->activation_dtype(dtype), Rows::kAligned);
      const Matrix all(*backend, s.rows, s.in);
      const LinearBackwardArgs whole = p.full_args(all, Activation::kGeluTanh);
      backend->linear_backward(whole);
      const std::vector<float> want = all.values();
      for (int64_t count : slow ? std::vector<int64_t>{1, 7, 24, 25, 100}
                                : std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 24,
                                                       25, 33, 65, 100}) {
        for (const int64_t begin : {int64_t{0}, (s.rows - count) / 2, s.rows - count}) {
          const Matrix part(*backend, s.rows, s.in);
          LinearBackwardArgs args = whole;
          args.dx = part;
          backend->linear_backward(row_range(args, begin, count));
          const auto at = static_cast<size_t>(begin * s.in),
                     values = static_cast<size_t>(count * s.in);
          EXPECT_TRUE(same_bits(std::span<const float>(part.values()).subspan(at, values),
                                std::span(want).subspan(at, values)))
              << dtype_name(dtype) << ", " << count << " rows at once from " << begin;
        }
      }
    }
  }
}

TEST_P(LinearBackwardTest, AnyNumberOfThreadsGivesTheSameBits) {
  if (GetParam().on_device) GTEST_SKIP() << "a device's threads are not ours to count";
  for (const Size s :
       {Size{1, 700, 300}, Size{4, 700, 300}, Size{70, 401, 300}, Size{1, 33, 5000}}) {
    const Problem p(*backend, random, s, GetParam().weight_types().back(), DType::kF32);
    std::vector<float> want;
    for (int threads : {1, 2, 3, 7}) {
      const auto other = with_threads(threads);
      const Matrix result(*other, s.rows, s.in);
      other->linear_backward(p.full_args(result, Activation::kGeluErf));
      if (want.empty()) want = result.values();
      EXPECT_TRUE(same_bits(result.values(), want)) << threads << " threads, " << s.rows << " rows";
    }
  }
}

TEST_P(LinearBackwardTest, FusedAndComposedFormsGiveTheSameBits) {
  for (const auto& [rows, in, out] : {Size{1, 99, 270}, Size{3, 99, 270}, Size{40, 99, 270},
                                      Size{70, 100, 64}, Size{70, 99, 64}}) {
    for (Activation activation : kActivations) {
      SCOPED_TRACE(::testing::Message()
                   << "activation " << static_cast<int>(activation) << ", rows " << rows);
      const Problem p(*backend, random, {rows, in, out}, DType::kF16,
                      backend->activation_dtype(DType::kF16), Rows::kAligned);
      const Matrix fused(*backend, rows, in), product(*backend, rows, in, in + 1),
          untapped(*backend, p.residual, rows, in);
      LinearBackwardArgs args = p.full_args(fused, activation);
      args.product = product;
      backend->linear_backward(args);
      args.product = {};
      args.dx = args.residual = untapped;  // in place
      backend->linear_backward(args);

      const Matrix dy(*backend, rows, in), through(*backend, rows, in), sum(*backend, rows, in);
      backend->linear_backward(p.args(dy));
      backend->activate_backward(dy, p.before_at, activation, through);
      backend->add(through, p.residual_at, sum);
      EXPECT_TRUE(same_bits(product.values(), dy.values()));
      EXPECT_TRUE(same_bits(fused.values(), sum.values()));
      EXPECT_TRUE(same_bits(untapped.values(), sum.values()));
    }
  }
}

TEST_P(LinearBackwardTest, PartOfTheInputs) {
  for (DType dtype : GetParam().weight_types()) {
    for (const auto& [begin, count] : PartOfInputs::kParts) {
      for (int64_t rows : {1, 5, 20, 70}) {
        const Size s{rows, count, 40};
        const PartOfInputs weight(*backend, random, begin, count, s.out, dtype);
        const Problem p(*backend, random, s, dtype, backend->activation_dtype(dtype),
                        Rows::kAligned);
        const Matrix got(*backend, s.rows, s.in, s.in + 3), want(*backend, s.rows, s.in);
        LinearBackwardArgs args = p.args(want);
        args.weight = &weight.alone();
        backend->linear_backward(args);
        args.weight = &weight.part();
        args.dx = got;
        backend->linear_backward(args);
        EXPECT_TRUE(same_bits(got.values(), want.values()))
            << dtype_name(dtype) << ", " << rows << " rows, " << count << " from " << begin;
        EXPECT_TRUE(got.untouched_outside());
      }
    }
  }
}

VITRINE_FOR_EACH_BACKEND(LinearBackwardTest);

}  // namespace
}  // namespace vitrine::testing
