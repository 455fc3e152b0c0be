// SPDX-License-Identifier: MIT
#include "engine/random_weights.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "base/float_bits.h"
#include "vitrine/error.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr uint64_t kSeed = 20190214;

Config small() {
  Config config;
  config.layers = 12;
  config.heads = 12;
  config.width = 768;
  config.inner = 3072;
  config.vocab = 50257;
  config.context = 1024;
  return config;
}

std::vector<float> filled(const RandomWeights& weights, std::string_view name) {
  for (const auto& entry : weights.entries()) {
    if (entry.name != name) continue;
    std::vector<float> out(static_cast<size_t>(entry.shape.elements()));
    weights.fill(name, out);
    return out;
  }
  return {};
}

// The table of tests/goldens/README.md, which the Python side printed.
TEST(RandomWeights, GivesThePublishedElements) {
  Config config = small();
  config.tied_unembedding = false;
  const RandomWeights weights(config, kSeed);
  const auto expect = [&](std::string_view name, float a, float b, float c) {
    const std::vector<float> values = filled(weights, name);
    ASSERT_GE(values.size(), 3u) << name;
    EXPECT_EQ(values[0], a) << name;
    EXPECT_EQ(values[1], b) << name;
    EXPECT_EQ(values[2], c) << name;
  };
  expect("wte.weight", 0.0576914661f, 0.00827770773f, 0.0580099821f);
  expect("wpe.weight", 0.0489752106f, 0.035324946f, -0.0791203752f);
  expect("ln_f.weight", 0.933010936f, 0.97451967f, 1.07056093f);
  expect("h.0.ln_1.bias", -0.0545942038f, -0.0270296931f, -0.01691892f);
  expect("h.0.attn.c_attn.weight", -0.0457448177f, -0.00305011962f, 0.00708191283f);
  expect("h.11.mlp.c_proj.weight", 0.0539805964f, -0.0397449434f, -0.044577226f);
  expect("lm_head.weight", -0.0723313242f, -0.0621730275f, -0.00807113666f);
}

// By the formula of tests/goldens/README.md in Python, whose log and cos are the C library's.
TEST(RandomWeights, GivesGpt2sInitialisation) {
  const RandomWeights weights(small(), kSeed, RandomInit::kGpt2);
  const auto expect =
      [&](std::string_view name, float a, float b, float c) {
        const std::vector<float> values = filled(weights, name);
        ASSERT_GE(values.size(), 3u) << name;
        EXPECT_FLOAT_EQ(values[0], a)
            << name;  // another C library may round the last bit of a logarithm otherwise
        EXPECT_FLOAT_EQ(values[1], b) << name;
        EXPECT_FLOAT_EQ(values[2], c) << name;
      };
  expect("wpe.weight", -0.0348654091f, -0.00629891455f, 0.0120438905f);
  expect("ln_f.weight", 0.999699473f, 1.00300729f, 0.998050094f);
  expect("h.0.ln_1.bias", 0.000617249811f, 0.00187256583f, 0.00349189946f);
  expect("h.0.attn.c_attn.weight", -0.0139920851f, -0.00844185241f, -0.0371104479f);
  expect("h.11.attn.c_proj.weight", 3.12609991e-05f, -0.00173089933f, -0.00173242448f);
  expect("h.11.mlp.c_proj.weight", 0.00515015842f, 0.00011257625f, -0.000443812896f);
}

// The first four moments of 589,824 draws of N(0, 0.02 / sqrt(24)): each within five of its
// standard errors.
TEST(RandomWeights, Gpt2sMatricesAreNormal) {
  const std::vector<float> values =
      filled(RandomWeights(small(), 3, RandomInit::kGpt2), "h.5.attn.c_proj.weight");
  double mean = 0, square = 0, fourth = 0;
  for (const float value : values) {
    const double z = value / (0.02 / std::sqrt(24.0));
    mean += z, square += z * z, fourth += z * z * z * z;
  }
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(mean / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(square / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
}

// The sum of all bit patterns of wte.weight, as NumPy adds them: every element of the largest
// tensor counts.
TEST(RandomWeights, GivesEveryElementOfTheEmbedding) {
  uint64_t sum = 0;
  for (float value : filled(RandomWeights(small(), kSeed), "wte.weight"))
    sum += std::bit_cast<uint32_t>(value);
  EXPECT_EQ(sum, 80938239901618219u);
}

TEST(RandomWeights, ListsTheTensorsOfACheckpoint) {
  int64_t parameters = 0;
  const RandomWeights weights(small(), kSeed);
  for (const auto& entry : weights.entries()) parameters += entry.shape.elements();
  EXPECT_EQ(weights.entries().size(), 148u);
  EXPECT_EQ(parameters, 124439808);  // GPT-2 small's published count
}

TEST(RandomWeights, RoundsToTheStoredType) {
  const RandomWeights weights(small(), 7);
  const std::vector<float> exact = filled(weights, "h.3.mlp.c_fc.bias");
  const Tensor half = weights.make("h.3.mlp.c_fc.bias", DType::kF16),
               brain = weights.make("h.3.mlp.c_fc.bias", DType::kBF16);
  const auto* half_bits = static_cast<const uint16_t*>(half.data());
  const auto* brain_bits = static_cast<const uint16_t*>(brain.data());
  for (size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(half_bits[i], f32_to_f16(exact[i]));
    ASSERT_EQ(brain_bits[i], f32_to_bf16(exact[i]));
  }
}

TEST(RandomWeights, SeedsAndTensorsDiffer) {
  const RandomWeights first(small(), 1), second(small(), 2);
  EXPECT_NE(filled(first, "h.0.ln_1.weight"), filled(second, "h.0.ln_1.weight"));
  EXPECT_NE(filled(first, "h.0.ln_1.weight"), filled(first, "h.1.ln_1.weight"));
}

TEST(RandomWeights, RefusesWhatItCannotMake) {
  Config config = small();
  const RandomWeights weights(config, 1);
  std::vector<float> wrong(3);
  EXPECT_THROW(weights.fill("ln_f.bias", wrong), Error);
  EXPECT_THROW(weights.fill("lm_head.weight", wrong), Error);  // tied: there is none
  EXPECT_THROW(weights.make("ln_f.bias", DType::kI32), Error);
  config.heads = 5;
  EXPECT_THROW(RandomWeights(config, 1), Error);
  config.heads = 0;
  EXPECT_THROW(RandomWeights(config, 1), Error);
}

}  // namespace
}  // namespace vitrine
