#include "tests/kernels/harness.h"

namespace vitrine::testing {
namespace {

class LayerNormTest : public KernelTest {
 protected:
  struct Problem {
    Problem(Backend& backend, std::mt19937& random, int64_t rows, int64_t width, float mean)
        : x(normal(random, rows * width, 2.0f)), weight(normal(random, width)), bias(normal(random, width)) {
      for (float& value : x) value += mean;
      x_at.emplace_back(backend, x, rows, width, width + 3);
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
  for (const auto& [rows, width] :
       {std::pair<int64_t, int64_t>{1, 1}, {2, 3}, {3, 17}, {5, 48}, {9, 65}, {33, 768}, {7, 1600}}) {
    for (float mean : {0.0f, 100.0f}) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", mean " << mean);
      const Problem p(*backend, random, rows, width, mean);
      const Matrix out(*backend, rows, width, width + 5), scale(*backend, rows, 1, 2);
      backend->layernorm(p.args(out, scale));
      const reference::LayerNorm want =
          reference::layernorm(reference::widen(p.x), reference::widen(p.weight), reference::widen(p.bias), rows, width, 1e-5f);
      Vec out_tolerance, scale_tolerance;
      for (int64_t i = 0; i < rows * width; ++i) {
        const double s = want.scale[static_cast<size_t>(i / width)];
        // The mean is rounded to float32 before it is subtracted, which weighs |mean| / scale.
        const double terms =
            (std::abs(p.x[static_cast<size_t>(i)]) + std::abs(mean)) / s * std::abs(p.weight[static_cast<size_t>(i % width)]);
        out_tolerance.push_back(tolerance::kLayerNorm(1, terms + std::abs(p.bias[static_cast<size_t>(i % width)])));
      }
      for (double s : want.scale) scale_tolerance.push_back(tolerance::kScale(1, s + std::abs(mean)));
      EXPECT_TRUE(near(out.values(), want.out, out_tolerance));
      EXPECT_TRUE(near(scale.values(), want.scale, scale_tolerance));
      EXPECT_TRUE(out.untouched_outside() && scale.untouched_outside());
    }
  }
}

TEST_P(LayerNormTest, HalvesRowsThreadsAndTapsGiveTheSameBits) {
  const int64_t rows = 200, width = 771;
  const Problem p(*backend, random, rows, width, 0.3f);
  const Matrix fused(*backend, rows, width), scale(*backend, rows, 1), untapped(*backend, rows, width),
      alone(*backend, rows, width), composed(*backend, rows, width), half(*backend, rows, 1), single(*backend, rows, width);
  backend->layernorm(p.args(fused, scale));
  backend->layernorm(p.args(untapped, {}));
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

TEST_P(LayerNormTest, AnEditedScaleIsUsed) {
  const Problem p(*backend, random, 2, 20, 0.0f);
  const std::vector<float> doubled = {2.0f, 4.0f};
  const Matrix out(*backend, 2, 20), scale(*backend, doubled, 2, 1);
  backend->layernorm_apply(p.args(out, scale));
  Vec want, tolerance;
  for (int64_t i = 0; i < 40; ++i) {
    double mean = 0.0;
    for (int64_t j = 0; j < 20; ++j) mean += static_cast<double>(p.x[static_cast<size_t>(i / 20 * 20 + j)]) / 20.0;
    const auto col = static_cast<size_t>(i % 20);
    want.push_back((p.x[static_cast<size_t>(i)] - mean) / doubled[static_cast<size_t>(i / 20)] * p.weight[col] + p.bias[col]);
    tolerance.push_back(tolerance::kLayerNorm(1, 10.0 * std::abs(p.weight[col]) + std::abs(p.bias[col])));
  }
  EXPECT_TRUE(near(out.values(), want, tolerance));
}

VITRINE_FOR_EACH_BACKEND(LayerNormTest);

}  // namespace
}  // namespace vitrine::testing
