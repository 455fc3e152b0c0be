// SPDX-License-Identifier: MIT
#include <tuple>

#include "tests/kernels/harness.h"
#include "tests/reference/adjoints.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr float kEpsilon = 1e-5f;

class LayerNormBackwardTest : public KernelTest {
 protected:
  struct Problem {
    Problem(Backend& backend, std::mt19937& random, int64_t r, int64_t w, float mean,
            DType dy_type = DType::kF32, int64_t padding = 3)
        : rows(r),
          width(w),
          x(normal(random, r * w, 2.0f)),
          weight(normal(random, w)),
          dy(rounded(normal(random, r * w), dy_type)),
          residual(normal(random, r * w)) {
      for (float& value : x) value += mean;
      for (int64_t i = 0; i < r; ++i) scale.push_back(0.5f + static_cast<float>(i % 5));
      at.emplace_back(backend, x, rows, width, width + padding);
      at.emplace_back(backend, dy, rows, width, width + padding, dy_type);
      at.emplace_back(backend, residual, rows, width, width + 2 * padding);
      at.emplace_back(backend, scale, rows, 1, 2);
      at.emplace_back(backend, weight, 1, width);
    }

    LayerNormBackwardArgs args(Mat dx, Mat dscale = {}) const {
      LayerNormBackwardArgs result;
      result.x = at[0];
      result.weight = at[4].data();
      result.epsilon = kEpsilon;
      result.dy = at[1];
      result.dscale = dscale;
      result.dx = dx;
      return result;
    }

    Mat residual_at() const { return at[2]; }
    /// What an edit made of the scales: nothing that x would give.
    Mat scale_at() const { return at[3]; }

    int64_t rows, width;
    std::vector<float> x, weight, dy, residual, scale;
    std::vector<Matrix> at;
  };

  /// Tolerances of dscale [rows] and dx [rows, width], by the sizes of the terms of the contract's
  /// formulas.
  static std::pair<Vec, Vec> tolerances(const Problem& p, const Vec& scale, bool frozen,
                                        bool residual) {
    const reference::LayerNorm own =
        reference::layernorm(reference::widen(p.x), Vec(static_cast<size_t>(p.width), 1.0),
                             Vec(static_cast<size_t>(p.width)), p.rows, p.width, kEpsilon);
    Vec dscale, dx;
    const auto width = static_cast<size_t>(p.width);
    for (size_t r = 0; r < static_cast<size_t>(p.rows); ++r) {
      const double e = scale.empty() ? own.scale[r] : scale[r], s = own.scale[r];
      double mean = 0.0, sum = 0.0;
      for (size_t j = 0; j < width; ++j)
        mean += std::abs(p.x[r * width + j]) / static_cast<double>(width);
      for (size_t j = 0; j < width; ++j) {
        const double n = std::abs(p.dy[r * width + j] * p.weight[j]);
        sum += n * (std::abs(own.out[r * width + j]) * s +
                    mean);  // the mean is rounded to float32 before it is subtracted
      }
      dscale.push_back(tolerance::kScaleBackward(1, sum / (e * e)));
      const double through = frozen ? 0.0 : sum / (e * e) / (static_cast<double>(width) * s);
      double terms_sum = 0.0;
      Vec terms;
      for (size_t j = 0; j < width; ++j) {
        terms.push_back(std::abs(p.dy[r * width + j] * p.weight[j]) / e +
                        through * (std::abs(own.out[r * width + j]) * s + mean));
        terms_sum += terms.back();
      }
      for (size_t j = 0; j < width; ++j) {
        const double size = terms[j] + terms_sum / static_cast<double>(width) +
                            (residual ? std::abs(p.residual[r * width + j]) : 0.0);
        dx.push_back(tolerance::kLayerNormBackward(1, size));
      }
    }
    return {dscale, dx};
  }

  void check(const Problem& p, bool edited, bool frozen, bool residual) {
    SCOPED_TRACE(::testing::Message()
                 << p.rows << " x " << p.width << (edited ? ", edited scale" : "")
                 << (frozen ? ", frozen" : "") << (residual ? ", residual" : ""));
    const Matrix dx(*backend, p.rows, p.width, p.width + 3), dscale(*backend, p.rows, 1, 2);
    LayerNormBackwardArgs args = p.args(dx, dscale);
    args.frozen = frozen;
    if (edited) args.scale = p.scale_at();
    if (residual) args.residual = p.residual_at();
    backend->layernorm_backward(args);
    const Vec scale = edited ? reference::widen(p.scale) : Vec{};
    auto want =
        reference::layernorm_backward(reference::widen(p.x), reference::widen(p.weight), scale,
                                      reference::widen(p.dy), p.rows, p.width, kEpsilon, frozen);
    if (residual) want.dx = reference::add(want.dx, reference::widen(p.residual));
    const auto [dscale_tolerance, dx_tolerance] = tolerances(p, scale, frozen, residual);
    EXPECT_TRUE(near(dx.values(), want.dx, dx_tolerance));
    EXPECT_TRUE(near(dscale.values(), want.dscale, dscale_tolerance));
    EXPECT_TRUE(dx.untouched_outside() && dscale.untouched_outside());
  }
};

TEST_P(LayerNormBackwardTest, MatchesTheOracle) {
  // By width: one, less than a vector, odd, GPT-2's, more than a kernel keeps in registers.
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1},
                                    {2, 3},
                                    {3, 17},
                                    {5, 48},
                                    {9, 65},
                                    {33, 768},
                                    {7, 1600},
                                    {3, 2500},
                                    {2, 2501}}) {
    for (float mean : {0.0f, 100.0f}) {
      for (DType dtype : GetParam().activation_types()) {
        SCOPED_TRACE(::testing::Message() << "mean " << mean << ", dy " << dtype_name(dtype));
        const int64_t padding =
            mean == 0.0f ? 3 : 8 - width % 4;  // rows that are aligned and rows that are not
        const Problem p(*backend, random, rows, width, mean, dtype, padding);
        for (bool edited : {false, true}) {
          for (bool frozen : {false, true}) check(p, edited, frozen, edited != frozen);
        }
      }
    }
  }
}

// No optional input or output changes the gradient's bits: taps, halves, threads, other rows, where
// rows lie.
TEST_P(LayerNormBackwardTest, HalvesRowsThreadsAndTapsGiveTheSameBits) {
  for (DType dtype : GetParam().activation_types()) {
    for (const auto& [rows, width, padding] :
         {std::tuple<int64_t, int64_t, int64_t>{100, 771, 3}, {5, 1600, 4}, {4, 2501, 3}}) {
      for (const bool edited : {false, true}) {
        SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", dy " << dtype_name(dtype)
                                          << (edited ? ", edited" : ""));
        const Problem p(*backend, random, rows, width, 0.3f, dtype, padding);
        const Matrix fused(*backend, rows, width), untapped(*backend, p.residual, rows, width),
            alone(*backend, rows, width), composed(*backend, rows, width),
            single(*backend, rows, width), dscale(*backend, rows, 1), half(*backend, rows, 1);
        LayerNormBackwardArgs args = p.args(fused, dscale);
        args.residual = p.residual_at();
        if (edited) args.scale = p.scale_at();
        backend->layernorm_backward(args);
        args.dscale = half;
        args.dx = {};
        backend->layernorm_backward_scale(args);
        args.dx = composed;
        backend->layernorm_backward_apply(args);
        args.dscale = {};
        args.dx = args.residual = untapped;  // in place, and elsewhere
        backend->layernorm_backward(args);
        args.dx = single;
        args.residual = p.residual_at();
        with_threads(1)->layernorm_backward(args);
        for (int64_t r = 0; r < rows; ++r) {
          LayerNormBackwardArgs row = args;
          row.dx = alone;
          for (Mat* mat : {&row.x, &row.scale, &row.dy, &row.residual, &row.dx}) {
            if (*mat) *mat = mat->row_range(r, 1);
          }
          backend->layernorm_backward(row);
        }
        EXPECT_TRUE(same_bits(half.values(), dscale.values()));
        EXPECT_TRUE(same_bits(composed.values(), fused.values()));
        EXPECT_TRUE(same_bits(untapped.values(), fused.values()));
        EXPECT_TRUE(same_bits(single.values(), fused.values()));
        EXPECT_TRUE(same_bits(alone.values(), fused.values()));
      }
    }
  }
}

// Between the halves an edit of the scale says what of the gradient reaches what it was made from.
TEST_P(LayerNormBackwardTest, AnEditedGradientOfTheScaleIsUsed) {
  const int64_t rows = 3, width = 21;
  const Problem p(*backend, random, rows, width, 0.5f);
  const std::vector<float> reaching = {0.0f, 2.5f, -1.0f};
  const Matrix dx(*backend, rows, width), dscale(*backend, reaching, rows, 1, 2);
  LayerNormBackwardArgs args = p.args(dx, dscale);
  args.scale = p.scale_at();
  backend->layernorm_backward_apply(args);
  const Vec want = reference::layernorm_backward_apply(
      reference::widen(p.x), reference::widen(p.weight), reference::widen(p.scale),
      reference::widen(p.dy), reference::widen(reaching), width, kEpsilon);
  // dscale is at most 2.5, |c| / (width s) at most 1.
  Vec tolerance = tolerances(p, reference::widen(p.scale), true, false).second;
  for (double& t : tolerance) t += tolerance::kLayerNormBackward(1, 2 * 2.5);
  EXPECT_TRUE(near(dx.values(), want, tolerance));
  EXPECT_TRUE(same_bits(dscale.values(), reaching));
}

// A row of equal numbers has no direction to go: its scale is the root of epsilon, which nothing is
// divided by zero for.
TEST_P(LayerNormBackwardTest, ARowOfEqualNumbersGivesNumbers) {
  const int64_t width = 24;
  const std::vector<float> x(static_cast<size_t>(width), 3.25f), weight = normal(random, width),
                                                                 dy = normal(random, width);
  const Matrix x_at(*backend, x, 1, width), weight_at(*backend, weight, 1, width),
      dy_at(*backend, dy, 1, width), dx(*backend, 1, width), dscale(*backend, 1, 1);
  LayerNormBackwardArgs args;
  args.x = x_at;
  args.weight = weight_at.data();
  args.epsilon = kEpsilon;
  args.dy = dy_at;
  args.dx = dx;
  args.dscale = dscale;
  backend->layernorm_backward(args);
  const auto want = reference::layernorm_backward(reference::widen(x), reference::widen(weight), {},
                                                  reference::widen(dy), 1, width, kEpsilon, false);
  Vec tolerance;
  double mean = 0.0;
  for (size_t j = 0; j < x.size(); ++j)
    mean += std::abs(dy[j] * weight[j]) / std::sqrt(kEpsilon) / static_cast<double>(width);
  for (size_t j = 0; j < x.size(); ++j)
    tolerance.push_back(
        tolerance::kLayerNormBackward(1, std::abs(dy[j] * weight[j]) / std::sqrt(kEpsilon) + mean));
  EXPECT_TRUE(near(dx.values(), want.dx, tolerance));
  EXPECT_EQ(dscale.values()[0], 0.0f);
}

VITRINE_FOR_EACH_BACKEND(LayerNormBackwardTest);

}  // namespace
}  // namespace vitrine::testing
