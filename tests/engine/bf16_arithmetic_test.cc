// SPDX-License-Identifier: MIT
// Models in bf16 arithmetic: how far they are from the exact one, and which combinations are
// rejected. That they keep the promises is in promises_test.cc, the products are in
// tests/kernels/bf16_test.cc.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "tests/engine/odd_model.h"
#include "tests/run_values.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::odd_config;
using testing_support::tokens;

Model model(DType dtype, const std::string& arithmetic) {
  return Model::random(odd_config(), 7, {.arithmetic = arithmetic, .dtype = dtype});
}

/// The root of the mean squared difference, as a share of b's standard deviation.
double apart(TensorView a, TensorView b) {
  const std::vector<float> x = a.to_f32(), y = b.to_f32();
  double sum = 0, squares = 0, differences = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    if (!std::isfinite(y[i])) continue;  // masked
    sum += y[i];
    squares += static_cast<double>(y[i]) * y[i];
    differences += std::pow(static_cast<double>(x[i]) - y[i], 2);
  }
  const auto n = static_cast<double>(y.size());
  return std::sqrt(differences / n) / std::sqrt(squares / n - sum * sum / (n * n));
}

// A rounding to bfloat16 is off by a share of 2^-9 at most, 2^-9 / sqrt(3) on average at the lowest
// of its range. Each layer's input goes through some ten roundings on its way to the residual
// stream (two layernorms, queries, keys, values, z, neurons, each in a product with others that are
// rounded apart), so that three layers and the last layernorm are some thirty: sqrt(30) 2^-9 is
// 1.1e-2 if none is made smaller by the residual stream.
TEST(Bf16Arithmetic, IsAsFarOffAsRoundedActivationsAre) {
  const double bound = std::sqrt(30.0) * 0x1p-9, unit = 0x1p-9;
  const std::vector<int32_t> ids = tokens(37, 1);
  for (const DType dtype : {DType::kBF16, DType::kI8}) {
    const vitrine::Run exact = model(dtype, "exact").forward(ids, Hooks().capture("*")),
                       got = model(dtype, "bf16").forward(ids, Hooks().capture("*"));
    EXPECT_LE(apart(got.logits(), exact.logits()), bound);
    EXPECT_GE(apart(got.logits(), exact.logits()), unit / 16) << "so it was not exact all along";
    for (const Captures::Entry& entry : exact.captures().entries())
      EXPECT_LE(apart(got[entry.name], exact[entry.name]), bound) << entry.name;
    const char* const first = "blocks.0.hook_resid_pre";
    EXPECT_EQ(apart(got[first], exact[first]), 0) << "float32";
  }
}

TEST(Bf16Arithmetic, RoundsWhatOneOperationWritesAndAnotherReads) {
  const Model m = model(DType::kBF16, "bf16");
  const vitrine::Run run = m.forward(tokens(20, 2), Hooks().capture("*"));
  for (const Captures::Entry& entry : run.captures().entries()) {
    const std::vector<float> values = run[entry.name].to_f32();
    const bool narrow = std::all_of(values.begin(), values.end(), [](float value) {
      return (std::bit_cast<uint32_t>(value) & 0xffffu) == 0;
    });
    const auto is = [&](const char* site) { return entry.name.find(site) != std::string::npos; };
    const bool rounded = is("hook_normalized") || is("hook_q") || is("hook_k") || is("hook_v") ||
                         is("hook_z") || is("hook_post");
    if (is("embed")) continue;  // the weights' own numbers
    EXPECT_EQ(narrow, rounded) << entry.name;
  }
}

TEST(Bf16Arithmetic, IsNamedAndRejectedWhereItHasNoMeaning) {
  EXPECT_EQ(model(DType::kBF16, "bf16").arithmetic(), "bf16");
  EXPECT_NE(model(DType::kBF16, "bf16").device_description().find("bf16 arithmetic"),
            std::string::npos);
  EXPECT_EQ(model(DType::kBF16, "exact").arithmetic(), "exact");
  EXPECT_USER_ERROR(model(DType::kF32, "bf16"), "`arithmetic` bf16", "f32", "bf16 or int8");
  EXPECT_USER_ERROR(model(DType::kF16, "bf16"), "f16", "`dtype`");
  EXPECT_USER_ERROR(model(DType::kBF16, "fast"), "unknown arithmetic 'fast'", "exact or bf16");
  EXPECT_USER_ERROR(Model::random(odd_config(), 7, {.device = "cuda", .arithmetic = "bf16"}),
                    "`arithmetic` bf16 on cuda", "expected exact");
}

}  // namespace
}  // namespace vitrine
