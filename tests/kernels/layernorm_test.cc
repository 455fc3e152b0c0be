// SPDX-License-Identifier: MIT
#include <tuple>

#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class LayerNormTest : public KernelTest {
 protected:
  struct Problem {
    Problem(Backend& backend, std::mt19937& random, int64_t rows, int64_t width, float mean,
            int64_t padding = 3)
        : x(normal(random, rows * width, 2.0f)),
          weight(normal(random, width)),
          bias(normal(random, width)) {
      for (float& value : x) value += mean;
      x_at.emplace_back(backend, x, rows, width, width + padding);
      parameters.emplace_back(backend, weight, 1, width);
      parameters.emplace_back(backend, bias, 1, width);
    }
    LayerNormArgs args(Mat out, Mat scale) const {
      LayerNormArgs result;
      result.x = x_at[0];
      result.weight = parameters[0].data();
      result.bias = parameters[1].data();
      result.out = out;
      result.scale = scale;
      return result;
    }
    std::vector<float> x, weight, bias;
    std::vector<Matrix> x_at, parameters;
  };
};

TEST_P(LayerNormTest, MatchesTheOracle) {
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
        const int64_t padding =
            mean == 0.0f ? 3 : 8 - width % 4;  // rows that are aligned and rows that are not
        SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", mean " << mean << ", to "
                                          << dtype_name(dtype));
        const Problem p(*backend, random, rows, width, mean, padding);
        const Matrix out(*backend, rows, width, width + padding, dtype),
            scale(*backend, rows, 1, 2);
        backend->layernorm(p.args(out, scale));
        const reference::LayerNorm want =
            reference::layernorm(reference::widen(p.x), reference::widen(p.weight),
                                 reference::widen(p.bias), rows, width, 1e-5f);
        Vec out_tolerance, scale_tolerance;
        for (int64_t i = 0; i < rows * width; ++i) {
          const double s = want.scale[static_cast<size_t>(i / width)];
          // The mean is rounded to float32 before it is subtracted, which weighs |mean| / scale.
          const double terms = (std::abs(p.x[static_cast<size_t>(i)]) + std::abs(mean)) / s *
                               std::abs(p.weight[static_cast<size_t>(i % width)]);
          const double tolerance =
              tolerance::kLayerNorm(1, terms + std::abs(p.bias[static_cast<size_t>(i % width)]));
          out_tolerance.push_back(tolerance +
                                  rounding(dtype) *
                                      (std::abs(want.out[static_cast<size_t>(i)]) + tolerance));
        }
        for (double s : want.scale)
          scale_tolerance.push_back(tolerance::kScale(1, s + std::abs(mean)));
        EXPECT_TRUE(near(out.values(), want.out, out_tolerance));
        EXPECT_TRUE(near(scale.values(), want.scale, scale_tolerance));
        EXPECT_TRUE(out.untouched_outside() && scale.untouched_outside());
      }
    }
  }
}

TEST_P(LayerNormTest, HalvesRowsThreadsAndTapsGiveTheSameBits) {
  for (DType dtype : GetParam().activation_types()) {
    for (const auto& [rows, width, padding] :
         {std::tuple<int64_t, int64_t, int64_t>{200, 771, 3}, {5, 1600, 4}, {4, 2501, 3}}) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", to " << dtype_name(dtype));
      const Problem p(*backend, random, rows, width, 0.3f, padding);
      const Matrix dense(*backend, p.x, rows, width);  // rows that begin elsewhere
      const Matrix fused(*backend, rows, width, 0, dtype),
          untapped(*backend, rows, width, 0, dtype), alone(*backend, rows, width, 0, dtype),
          composed(*backend, rows, width, 0, dtype), single(*backend, rows, width, 0, dtype);
      const Matrix scale(*backend, rows, 1), half(*backend, rows, 1);
      backend->layernorm(p.args(fused, scale));
      LayerNormArgs elsewhere = p.args(untapped, {});
      elsewhere.x = dense;
      backend->layernorm(elsewhere);
      backend->layernorm_scale(p.x_at[0], 1e-5f, half);
      backend->layernorm_apply(p.args(composed, half));
      with_threads(1)->layernorm(p.args(single, {}));
      for (int64_t r = 0; r < rows; ++r) {
        LayerNormArgs args = p.args(alone.mat().row_range(r, 1), {});
        args.x = p.x_at[0].mat().row_range(r, 1);
        backend->layernorm(args);
      }
      EXPECT_TRUE(same_bits(untapped.values(), fused.values()));
      EXPECT_TRUE(same_bits(half.values(), scale.values()));
      EXPECT_TRUE(same_bits(composed.values(), fused.values()));
      EXPECT_TRUE(same_bits(alone.values(), fused.values()));
      EXPECT_TRUE(same_bits(single.values(), fused.values()));
    }
  }
}

TEST_P(LayerNormTest, AnEditedScaleIsUsed) {
  const Problem p(*backend, random, 2, 20, 0.0f);
  const std::vector<float> doubled = {2.0f, 4.0f};
  const Matrix out(*backend, 2, 20), scale(*backend, doubled, 2, 1);
  backend->layernorm_apply(p.args(out, scale));
  Vec want, tolerance;
  for (int64_t i = 0; i < 40; ++i) {
    double mean = 0.0;
    for (int64_t j = 0; j < 20; ++j)
      mean += static_cast<double>(p.x[static_cast<size_t>(i / 20 * 20 + j)]) / 20.0;
    const auto col = static_cast<size_t>(i % 20);
    want.push_back((p.x[static_cast<size_t>(i)] - mean) / doubled[static_cast<size_t>(i / 20)] *
                       p.weight[col] +
                   p.bias[col]);
    tolerance.push_back(
        tolerance::kLayerNorm(1, 10.0 * std::abs(p.weight[col]) + std::abs(p.bias[col])));
  }
  EXPECT_TRUE(near(out.values(), want, tolerance));
}

VITRINE_FOR_EACH_BACKEND(LayerNormTest);

}  // namespace
}  // namespace vitrine::testing
