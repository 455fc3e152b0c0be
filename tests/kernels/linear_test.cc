// SPDX-License-Identifier: MIT
#include "tests/kernels/linear_support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class LinearTest : public KernelTest {};

// One, odd, a panel and a tile of rows more or less by one, a part of the inputs (linear.h) more or
// less by one; rows and outputs on both sides of where another kernel takes over. Then what GPT-2
// uses; where there are many rows, a part of its outputs, whose number only decides how many
// threads share them.
std::vector<Size> sizes(bool slow) {
  std::vector<Size> list = {
      {1, 1, 1},     {1, 7, 15},     {2, 16, 16},   {3, 33, 17},   {4, 5, 31},      {5, 64, 33},
      {6, 255, 48},  {7, 256, 65},   {8, 257, 16},  {1, 127, 9},   {2, 129, 24},    {11, 300, 80},
      {12, 513, 1},  {13, 100, 130}, {25, 31, 257}, {29, 264, 40}, {1, 4360, 16},   {40, 2568, 8},
      {64, 136, 70}, {97, 40, 50},   {70, 776, 36}, {65, 31, 20},  {130, 272, 200}, {129, 35, 257}};
  if (!slow)
    list.insert(list.end(), {{1, 768, 2304},
                             {2, 1024, 3072},
                             {5, 1600, 640},
                             {64, 768, 200},
                             {33, 3072, 136},
                             {3, 768, 1025}});
  return list;
}

struct Problem {
  Problem(Backend& backend, std::mt19937& random, Size size, DType dtype, DType x_type,
          Rows rows = Rows::kAnywhere)
      : x(normal(random, size.rows * size.in)),
        bias(normal(random, size.out)),
        residual(normal(random, size.rows * size.out)),
        weight(make_weight(backend, random, size.in, size.out, dtype)),
        x_at(backend, x, size.rows, size.in, stride_of(size.in, rows, 3), x_type),
        bias_at(backend, bias, 1, size.out),
        residual_at(backend, residual, size.rows, size.out, stride_of(size.out, rows, 5)) {
    x = rounded(x, backend.activation_dtype(dtype));  // which is what is multiplied
  }

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
  const Vec terms =
      reference::linear(magnitudes(reference::widen(p.x)), magnitudes(p.weight.values),
                        magnitudes(reference::widen(p.bias)), s.rows, s.in, s.out);
  Vec result = reference::add(terms, magnitudes(reference::widen(p.residual)));
  for (double& t : result) t = tolerance::kSteepestActivation * tolerance::kLinear(s.in, t);
  return result;
}

void match_the_oracle(Backend& backend, const Problem& p, Size s, DType out_type, Rows rows) {
  const Matrix out(backend, s.rows, s.out, stride_of(s.out, rows, 2), out_type),
      before(backend, s.rows, s.out, stride_of(s.out, rows, 1));
  LinearArgs args = p.args(out);
  args.activation = Activation::kGeluTanh;
  args.residual = p.residual_at;
  args.before = before;
  backend.linear(args);

  const Vec want = reference::linear(reference::widen(p.x), p.weight.values,
                                     reference::widen(p.bias), s.rows, s.in, s.out);
  Vec tolerance = tolerances(p, s);
  EXPECT_TRUE(near(before.values(), want, tolerance));
  const Vec final = reference::add(reference::activate(want, Activation::kGeluTanh),
                                   reference::widen(p.residual));
  for (size_t i = 0; i < final.size(); ++i) tolerance[i] += rounding(out_type) * std::abs(final[i]);
  EXPECT_TRUE(near(out.values(), final, tolerance));
  EXPECT_TRUE(out.untouched_outside() && before.untouched_outside());
}

TEST_P(LinearTest, MatchesTheOracle) {
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

TEST_P(LinearTest, TakesAndGivesFloatsBesideNarrowWeights) {
  for (DType dtype : GetParam().weight_types()) {
    for (Size s : {Size{1, 300, 20}, Size{9, 64, 33}, Size{70, 264, 36}}) {
      for (Rows rows : {Rows::kAligned, Rows::kAnywhere}) {
        for (DType x_type : {DType::kF32, backend->activation_dtype(dtype)}) {
          for (DType out_type : {DType::kF32, backend->activation_dtype(dtype)}) {
            SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " of " << dtype_name(x_type)
                                              << " to " << dtype_name(out_type));
            match_the_oracle(*backend, Problem(*backend, random, s, dtype, x_type, rows), s,
                             out_type, rows);
          }
        }
      }
    }
  }
}

TEST_P(LinearTest, OneRowOrManyGiveTheSameBits) {
  const bool slow = slow_build() || slow_backend(GetParam());
  for (DType dtype : GetParam().weight_types()) {
    for (Size s : {Size{slow ? 130 : 200, 531, 140}, Size{130, 272, 140}}) {
      const Problem p(*backend, random, s, dtype, backend->activation_dtype(dtype), Rows::kAligned);
      const Matrix all(*backend, s.rows, s.out),
          anywhere(*backend, p.x, s.rows, s.in, s.in + 1, p.x_at.mat().dtype);
      backend->linear(p.args(all));
      const std::vector<float> want = all.values();
      for (int64_t count : slow ? std::vector<int64_t>{1, 7, 9, 16, 17, 33, 64, 65}
                                : std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17,
                                                       29, 33, 48, 49, 64, 65}) {
        const Matrix part(*backend, s.rows, s.out);
        std::vector<float> got, expected;
        for (int64_t begin = 0; begin < s.rows;
             begin += slow ? std::max(count, s.rows - count) : count) {
          const int64_t rows = std::min(count, s.rows - begin);
          LinearArgs args = p.args(part.mat().row_range(begin, rows));
          args.x = (begin == 0 ? p.x_at : anywhere).mat().row_range(begin, rows);
          backend->linear(args);
          const std::vector<float> values = part.values();
          for (int64_t i = begin * s.out; i < (begin + rows) * s.out; ++i) {
            got.push_back(values[static_cast<size_t>(i)]);
            expected.push_back(want[static_cast<size_t>(i)]);
          }
        }
        EXPECT_TRUE(same_bits(got, expected))
            << dtype_name(dtype) << ", " << count << " rows at once";
      }
    }
  }
}

TEST_P(LinearTest, AnyNumberOfThreadsGivesTheSameBits) {
  if (GetParam().on_device) GTEST_SKIP() << "a device's threads are not ours to count";
  for (const auto& [rows, in, out] : {Size{1, 300, 700}, Size{4, 300, 700}, Size{70, 300, 401}}) {
    const Problem p(*backend, random, {rows, in, out}, GetParam().weight_types().back(),
                    DType::kF32);
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
  for (const auto& [rows, in, out] : {Size{1, 270, 99}, Size{3, 270, 99}, Size{40, 270, 99},
                                      Size{70, 64, 100}, Size{70, 64, 99}}) {
    for (Activation activation : kActivations) {
      const Problem p(*backend, random, {rows, in, out}, DType::kF16,
                      backend->activation_dtype(DType::kF16), Rows::kAligned);
      const Matrix fused(*backend, rows, out), before(*backend, rows, out, out + 1),
          untapped(*backend, p.residual, rows, out);
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

// Few rows, whose layernorm a device computes in each block, and too many for that; widths of one
// and of several warps, of more than one quad a thread, and whose rows are not aligned.
TEST_P(LinearTest, OfALayerNormGivesTheBitsOfBoth) {
  for (DType dtype : GetParam().weight_types()) {
    for (const int64_t in : {32, 72, 264, 520, 1600, 2056, 300, 77}) {
      for (const int64_t rows : {1, 2, 3, 4, 9, 17}) {
        if (rows > 4 && in > 600) continue;
        SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << ", " << rows << " x " << in);
        const DType kept = backend->activation_dtype(dtype);
        const Size s{rows, in, in == 264 ? 1201 : 20};
        const Problem p(*backend, random, s, dtype, kept, Rows::kAligned);
        const Matrix x(*backend, normal(random, rows * in, 3.0f), rows, in,
                       stride_of(in, Rows::kAligned, 0)),
            weight(*backend, normal(random, in), 1, in), bias(*backend, normal(random, in), 1, in);
        const Matrix apart(*backend, s.rows, s.out), together(*backend, s.rows, s.out),
            normalized(*backend, rows, in, stride_of(in, Rows::kAligned, 0), kept);
        LayerNormArgs norm;
        norm.x = x;
        norm.weight = weight.data();
        norm.bias = bias.data();
        norm.out = p.x_at;
        LinearArgs args = p.args(together);
        args.activation = Activation::kGeluTanh;
        backend->linear_of_layernorm(norm, args);
        norm.out = args.x = normalized;
        args.out = apart;
        backend->layernorm(norm);
        backend->linear(args);
        EXPECT_TRUE(same_bits(together.values(), apart.values()));
        EXPECT_TRUE(together.untouched_outside() && p.x_at.untouched_outside());
      }
    }
  }
}

TEST_P(LinearTest, PartOfTheInputs) {
  for (DType dtype : GetParam().weight_types()) {
    for (const auto& [begin, count] : PartOfInputs::kParts) {
      for (int64_t rows : {1, 5, 20, 70}) {
        const Size s{rows, count, 40};
        const PartOfInputs weight(*backend, random, begin, count, s.out, dtype);
        const Problem p(*backend, random, s, dtype, backend->activation_dtype(dtype),
                        Rows::kAligned);
        const Matrix got(*backend, s.rows, s.out), want(*backend, s.rows, s.out);
        LinearArgs args = p.args(want);
        args.weight = &weight.alone();
        backend->linear(args);
        args.weight = &weight.part();
        args.out = got;
        backend->linear(args);
        EXPECT_TRUE(same_bits(got.values(), want.values()))
            << dtype_name(dtype) << ", " << rows << " rows, " << count << " from " << begin;
      }
    }
  }
}

VITRINE_FOR_EACH_BACKEND(LinearTest);

}  // namespace
}  // namespace vitrine::testing
