// SPDX-License-Identifier: MIT
#include "tests/reference/adjoints.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/reference/differences.h"

// The oracle of the backward pass, held against central differences of the oracle of the forward
// pass.

namespace vitrine::testing {
using namespace internal;
namespace {

using reference::central_differences;
using reference::Vec;

class AdjointsTest : public ::testing::Test {
 protected:
  Vec normal(int64_t count) {
    std::normal_distribution<double> distribution;
    Vec values(static_cast<size_t>(count));
    for (double& value : values) value = distribution(random_);
    return values;
  }

 private:
  std::mt19937 random_{20240313};
};

double dot(const Vec& a, const Vec& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// The numbers here are about 1, so central differences err by some 1e-10; a wrong formula errs by
/// a part of 1.
void expect_near(const Vec& got, const Vec& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], want[i], 1e-7 * (1.0 + std::abs(want[i]))) << "element " << i;
}

TEST_F(AdjointsTest, Activations) {
  const Vec dy = normal(40);
  Vec x = normal(40);
  for (double& value : x) value *= 2.0;
  for (Activation kind :
       {Activation::kNone, Activation::kGeluTanh, Activation::kGeluErf, Activation::kGeluQuick,
        Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
    SCOPED_TRACE(static_cast<int>(kind));
    expect_near(reference::activate_backward(dy, x, kind),
                central_differences(
                    x, [&](const Vec& at) { return dot(dy, reference::activate(at, kind)); }));
  }
}

TEST_F(AdjointsTest, ActivationsFarOut) {
  for (Activation kind : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kGeluQuick,
                          Activation::kRelu, Activation::kSilu}) {
    EXPECT_EQ(reference::activation_slope(3e38, kind), 1.0) << static_cast<int>(kind);
    EXPECT_EQ(reference::activation_slope(-3e38, kind), 0.0) << static_cast<int>(kind);
  }
  EXPECT_EQ(reference::activation_slope(3e38, Activation::kTanh), 0.0);
  EXPECT_EQ(reference::activation_slope(0.0, Activation::kRelu), 0.0);
}

TEST_F(AdjointsTest, Linear) {
  const int64_t rows = 3, in = 5, out = 4;
  const Vec x = normal(rows * in), w = normal(in * out), dy = normal(rows * out);
  expect_near(reference::linear_backward(dy, w, rows, in, out),
              central_differences(x, [&](const Vec& at) {
                return dot(dy, reference::linear(at, w, {}, rows, in, out));
              }));
}

// layernorm() with a given scale, which the operation of the forward pass does not take.
Vec divided(const Vec& x, const Vec& weight, const Vec& scale, int64_t width) {
  Vec y;
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t row = i / static_cast<size_t>(width);
    const double* begin = x.data() + row * static_cast<size_t>(width);
    const double mean = std::accumulate(begin, begin + width, 0.0) / static_cast<double>(width);
    y.push_back((x[i] - mean) / scale[row] * weight[i % static_cast<size_t>(width)]);
  }
  return y;
}

TEST_F(AdjointsTest, LayerNorm) {
  const int64_t rows = 3, width = 7;
  const double epsilon = 0.3;  // large enough to be seen
  const Vec x = normal(rows * width), weight = normal(width), bias = normal(width),
            dy = normal(rows * width);
  const auto forward = [&](const Vec& at) {
    return reference::layernorm(at, weight, bias, rows, width, epsilon);
  };
  const auto own = reference::layernorm_backward(x, weight, {}, dy, rows, width, epsilon, false);
  expect_near(own.dx,
              central_differences(x, [&](const Vec& at) { return dot(dy, forward(at).out); }));
  expect_near(own.dscale, central_differences(forward(x).scale, [&](const Vec& at) {
                return dot(dy, divided(x, weight, at, width));
              }));

  const auto frozen = reference::layernorm_backward(x, weight, {}, dy, rows, width, epsilon, true);
  const Vec held = forward(x).scale;
  expect_near(frozen.dx, central_differences(x, [&](const Vec& at) {
                return dot(dy, divided(at, weight, held, width));
              }));
}

// An edit made e = 2 s + 1 of the scale s: d s = 2 d e.
TEST_F(AdjointsTest, LayerNormWithAnEditedScale) {
  const int64_t rows = 3, width = 7;
  const double epsilon = 0.3;
  const Vec x = normal(rows * width), weight = normal(width), bias = normal(width),
            dy = normal(rows * width);
  const auto edited = [&](const Vec& at) {
    Vec scale = reference::layernorm(at, weight, bias, rows, width, epsilon).scale;
    for (double& s : scale) s = 2.0 * s + 1.0;
    return scale;
  };
  Vec dscale = reference::layernorm_backward_scale(x, weight, edited(x), dy, width);
  expect_near(dscale, central_differences(edited(x), [&](const Vec& at) {
                return dot(dy, divided(x, weight, at, width));
              }));
  for (double& d : dscale) d *= 2.0;
  expect_near(reference::layernorm_backward_apply(x, weight, edited(x), dy, dscale, width, epsilon),
              central_differences(x, [&](const Vec& at) {
                return dot(dy, divided(at, weight, edited(at), width));
              }));
}

TEST_F(AdjointsTest, Attention) {
  const int64_t rows = 5, heads = 2, width = 3, channels = heads * width;
  const double scale = 0.6;
  const Vec q = normal(rows * channels), k = normal(rows * channels), v = normal(rows * channels),
            dz = normal(rows * channels);
  const auto scores = [&](const Vec& q_at, const Vec& k_at) {
    return reference::attention_scores(q_at, k_at, rows, 0, heads, width, scale);
  };
  const auto mixed = [&](const Vec& pattern, const Vec& v_at) {
    return dot(dz, reference::attention_mix(pattern, v_at, rows, rows, heads, width));
  };
  const Vec s = scores(q, k), pattern = reference::softmax(s, rows);
  const auto got = reference::attention_backward(q, k, v, dz, rows, heads, width, scale, false);
  expect_near(got.dq, central_differences(q, [&](const Vec& at) {
                return mixed(reference::softmax(scores(at, k), rows), v);
              }));
  expect_near(got.dk, central_differences(k, [&](const Vec& at) {
                return mixed(reference::softmax(scores(q, at), rows), v);
              }));
  expect_near(got.dv, central_differences(v, [&](const Vec& at) { return mixed(pattern, at); }));
  // Differences of -inf are none; of a masked pattern they are what a masked key would have
  // weighed: 0 is what is wanted.
  Vec finite = s, dscores,
      dpattern = central_differences(pattern, [&](const Vec&at) { return mixed(at, v); });
  for (double& value : finite) value = std::max(value, -1e6);
  dscores = central_differences(
      finite, [&](const Vec& at) { return mixed(reference::softmax(at, rows), v); });
  for (size_t i = 0; i < s.size(); ++i) dpattern[i] = std::isinf(s[i]) ? 0.0 : dpattern[i];
  expect_near(got.dscores, dscores);
  expect_near(got.dpattern, dpattern);

  const auto frozen = reference::attention_backward(q, k, v, dz, rows, heads, width, scale, true);
  EXPECT_EQ(frozen.dq, Vec(q.size(), 0.0));
  EXPECT_EQ(frozen.dk, Vec(k.size(), 0.0));
  EXPECT_EQ(frozen.dv, got.dv);
}

TEST_F(AdjointsTest, LogitTargets) {
  const int64_t vocab = 9;
  const Vec logits = normal(vocab);
  Vec reference = normal(vocab);
  const double lse = reference::log_sum_exp(reference, vocab)[0];
  for (double& value : reference) value -= lse;
  for (LogitTermKind kind :
       {LogitTermKind::kLogit, LogitTermKind::kLogProb, LogitTermKind::kProb,
        LogitTermKind::kEntropy, LogitTermKind::kKl, LogitTermKind::kReverseKl}) {
    SCOPED_TRACE(static_cast<int>(kind));
    expect_near(reference::logit_target_gradient(logits, kind, 4, reference),
                central_differences(logits, [&](const Vec& at) {
                  return reference::logit_target(at, kind, 4, reference);
                }));
  }
}

// Values that are known without this file: two equally likely tokens, and what a distribution lacks
// from itself.
TEST_F(AdjointsTest, LogitTargetsOfKnownDistributions) {
  const Vec even = {1.0, 1.0}, half = {-std::log(2.0), -std::log(2.0)},
            quarter = {std::log(0.25), std::log(0.75)};
  EXPECT_NEAR(reference::logit_target(even, LogitTermKind::kProb, 1, {}), 0.5, 1e-15);
  EXPECT_NEAR(reference::logit_target(even, LogitTermKind::kEntropy, 0, {}), std::log(2.0), 1e-15);
  EXPECT_NEAR(reference::logit_target(even, LogitTermKind::kKl, 0, half), 0.0, 1e-15);
  EXPECT_NEAR(reference::logit_target(even, LogitTermKind::kReverseKl, 0, half), 0.0, 1e-15);
  // Kullback and Leibler's sum, the first argument weighing: the reference in the one, the model in
  // the other.
  EXPECT_NEAR(reference::logit_target(even, LogitTermKind::kKl, 0, quarter),
              0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-15);
  EXPECT_NEAR(reference::logit_target(even, LogitTermKind::kReverseKl, 0, quarter),
              0.5 * std::log(2.0) + 0.5 * std::log(0.5 / 0.75), 1e-15);
}

}  // namespace
}  // namespace vitrine::testing
