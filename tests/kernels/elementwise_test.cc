// SPDX-License-Identifier: MIT
#include <bit>
#include <limits>
#include <tuple>

#include "tests/kernels/harness.h"
#include "tests/reference/adjoints.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class ElementwiseTest : public KernelTest {};

// Numbers of every size and sign, dense where the functions bend.
std::vector<float> sweep(bool slow) {
  std::vector<float> x = {0.0f, -0.0f, 1e-45f, -1e-45f, 1e-38f, -1e-38f, 3e38f, -3e38f};
  for (uint32_t bits = std::bit_cast<uint32_t>(1e-9f); bits < std::bit_cast<uint32_t>(200.0f);
       bits += slow ? 50021 : 1009) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(-std::bit_cast<float>(bits));
  }
  return x;
}

TEST_P(ElementwiseTest, ActivationsMatchTheOracleEverywhere) {
  const std::vector<float> x = sweep(slow_build());
  const auto count = static_cast<int64_t>(x.size());
  for (Activation kind : kActivations) {
    const Matrix in(*backend, x, 1, count), out(*backend, 1, count);
    backend->activate(in, kind, out);
    const Vec want = reference::activate(reference::widen(x), kind);
    Vec tolerance;
    for (double y : want) tolerance.push_back(tolerance::kActivation(1, std::abs(y)));
    EXPECT_TRUE(near(out.values(), want, tolerance)) << "activation " << static_cast<int>(kind);
    EXPECT_TRUE(out.untouched_outside());
  }
}

TEST_P(ElementwiseTest, ANarrowResultIsTheFloatOneRounded) {
  for (const auto& [rows, cols, padding] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 0}, {3, 17, 2}, {4, 1030, 2}, {2, 3072, 4}}) {
    for (DType dtype : GetParam().activation_types()) {
      const Matrix in(*backend, normal(random, rows * cols, 3.0f), rows, cols, cols + padding);
      const Matrix wide(*backend, rows, cols), narrow(*backend, rows, cols, cols + padding, dtype);
      backend->activate(in, Activation::kGeluTanh, wide);
      backend->activate(in, Activation::kGeluTanh, narrow);
      EXPECT_TRUE(same_bits(narrow.values(), rounded(wide.values(), dtype)))
          << rows << " x " << cols << " " << dtype_name(dtype);
      EXPECT_TRUE(narrow.untouched_outside());
    }
  }
}

TEST_P(ElementwiseTest, InfinityAndNanComeThrough) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                  kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {kInfinity, kNan, 1.0f};
  for (Activation kind : kActivations) {
    const Matrix in(*backend, x, 1, 3), out(*backend, 1, 3);
    backend->activate(in, kind, out);
    const std::vector<float> y = out.values();
    EXPECT_EQ(y[0], kind == Activation::kTanh ? 1.0f : kInfinity) << static_cast<int>(kind);
    EXPECT_TRUE(std::isnan(y[1])) << static_cast<int>(kind);
    EXPECT_FALSE(std::isnan(y[2])) << static_cast<int>(kind);
  }
}

TEST_P(ElementwiseTest, AnElementDoesNotDependOnItsPlace) {
  const std::vector<float> x = normal(random, 67, 3.0f);
  for (Activation kind : kActivations) {
    const Matrix in(*backend, x, 1, 67), together(*backend, 1, 67), alone(*backend, 1, 67);
    backend->activate(in, kind, together);
    for (int64_t j = 0; j < 67; ++j)
      backend->activate(in.mat().columns(j, 1), kind, alone.mat().columns(j, 1));
    EXPECT_TRUE(same_bits(alone.values(), together.values()))
        << "activation " << static_cast<int>(kind);
  }
}

TEST_P(ElementwiseTest, AddIsRoundedOnce) {
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 17}, {5, 768}, {2, 1601}, {70, 1023}}) {
    const std::vector<float> a = normal(random, rows * cols), b = normal(random, rows * cols);
    const Matrix a_at(*backend, a, rows, cols, cols + 1), b_at(*backend, b, rows, cols, cols + 9),
        out(*backend, rows, cols, cols + 4);
    backend->add(a_at, b_at, out);
    std::vector<float> want(a.size());
    for (size_t i = 0; i < a.size(); ++i) want[i] = a[i] + b[i];
    EXPECT_TRUE(same_bits(out.values(), want));
    EXPECT_TRUE(out.untouched_outside());
    backend->add(a_at, b_at, a_at);  // in place
    EXPECT_TRUE(same_bits(a_at.values(), want));
  }
}

TEST_P(ElementwiseTest, ActivatesInPlaceWithStrides) {
  const std::vector<float> x = normal(random, 5 * 37);
  const Matrix at(*backend, x, 5, 37, 41);
  backend->activate(at, Activation::kRelu, at);
  std::vector<float> want = x;
  for (float& value : want) value = std::max(value, 0.0f);
  EXPECT_TRUE(same_bits(at.values(), want));
  EXPECT_TRUE(at.untouched_outside());
}

TEST_P(ElementwiseTest, SlopesMatchTheOracleEverywhere) {
  std::vector<float> x = sweep(slow_build());
  for (float far : {1e13f, 1e20f})
    x.insert(x.end(), {far, -far});  // whose cubes and squares are no float32 numbers
  const auto count = static_cast<int64_t>(x.size());
  const std::vector<float> dy = normal(random, count);
  for (Activation kind : kActivations) {
    const Matrix before(*backend, x, 1, count), dy_at(*backend, dy, 1, count),
        dx(*backend, 1, count);
    backend->activate_backward(dy_at, before, kind, dx);
    Vec tolerance;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto [gate, bend] = reference::activation_slope_terms(x[i], kind);
      // The slope of tanh, 1 - tanh^2, is the difference of numbers of about 1.
      const double terms = kind == Activation::kTanh ? 1.0 : std::abs(gate) + std::abs(bend);
      tolerance.push_back(tolerance::kSlope(1, terms * std::abs(dy[i])));
    }
    EXPECT_TRUE(near(dx.values(),
                     reference::activate_backward(reference::widen(dy), reference::widen(x), kind),
                     tolerance))
        << "activation " << static_cast<int>(kind);
    EXPECT_TRUE(dx.untouched_outside());
  }
}

TEST_P(ElementwiseTest, ANarrowGradientIsTheFloatOneRoundedWhereverItLies) {
  for (const auto& [rows, cols, padding] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 0}, {3, 17, 2}, {4, 1030, 2}, {2, 3072, 4}}) {
    for (DType dtype : GetParam().activation_types()) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << cols << " " << dtype_name(dtype));
      const std::vector<float> dy = rounded(normal(random, rows * cols), dtype),
                               x = normal(random, rows * cols, 2.0f);
      const Matrix before(*backend, x, rows, cols, cols + 1), wide_dy(*backend, dy, rows, cols),
          wide(*backend, rows, cols);
      const Matrix narrow(*backend, dy, rows, cols, cols + padding, dtype),
          alone(*backend, dy, rows, cols, 0, dtype);
      backend->activate_backward(wide_dy, before, Activation::kGeluTanh, wide);
      backend->activate_backward(narrow, before, Activation::kGeluTanh, narrow);  // in place
      EXPECT_TRUE(same_bits(narrow.values(), rounded(wide.values(), dtype)));
      EXPECT_TRUE(narrow.untouched_outside());
      for (int64_t j = 0; j < cols; j += 1 + cols / 40) {
        const Mat column = alone.mat().columns(j, 1);
        backend->activate_backward(column, before.mat().columns(j, 1), Activation::kGeluTanh,
                                   column);
      }
      const std::vector<float> together = narrow.values(), apart = alone.values();
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = r * cols; j < (r + 1) * cols; j += 1 + cols / 40)
          ASSERT_EQ(apart[static_cast<size_t>(j)], together[static_cast<size_t>(j)]);
      }
    }
  }
}

TEST_P(ElementwiseTest, ConvertsBetweenAllTypes) {
  for (const auto& [rows, cols, padding] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 0}, {3, 17, 1}, {70, 64, 0}, {2, 2305, 7}}) {
    for (DType from : GetParam().activation_types()) {
      for (DType to : GetParam().activation_types()) {
        SCOPED_TRACE(::testing::Message() << rows << " x " << cols << ", " << dtype_name(from)
                                          << " to " << dtype_name(to));
        const std::vector<float> x = rounded(normal(random, rows * cols, 100.0f), from);
        const Matrix source(*backend, x, rows, cols, cols + padding, from),
            result(*backend, rows, cols, cols + 2 * padding, to);
        backend->convert(source, result);
        EXPECT_TRUE(same_bits(result.values(), rounded(x, to)));
        EXPECT_TRUE(result.untouched_outside());
      }
    }
  }
}

VITRINE_FOR_EACH_BACKEND(ElementwiseTest);

}  // namespace
}  // namespace vitrine::testing
