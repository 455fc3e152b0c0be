// SPDX-License-Identifier: MIT
// The floors against the published figures: one H200 at 4.3 TB/s and 790 TFLOP/s, bfloat16.

#include "bench/measure/floors.h"

#include <gtest/gtest.h>

#include "bench/measure/sizes.h"

namespace vitrine::bench {
namespace {

constexpr Rates kH200 = {4.3e12, 790e12};
constexpr DType kType = DType::kBF16;

struct Published {
  const char* size;
  double parameters, decode_megabytes, decode_ms, decode_1024_ms, forward_ms, residual_megabytes,
      map_megabytes, backward_over_forward;
};

class Floors : public ::testing::TestWithParam<Published> {
 protected:
  Config config = size_config(GetParam().size);
};

TEST_P(Floors, Parameters) { EXPECT_EQ(config.parameters(), GetParam().parameters); }

TEST_P(Floors, DecodeReadsEveryParameterOnce) {
  const Work step = decode_step(config, kType, kType, 1, 0);
  EXPECT_NEAR(step.bytes * 1e-6, GetParam().decode_megabytes, 0.0003 * GetParam().decode_megabytes);
  EXPECT_NEAR(step.seconds(kH200) * 1e3, GetParam().decode_ms, 0.0005);
  EXPECT_NEAR(decode_step(config, kType, kType, 1, 1024).seconds(kH200) * 1e3,
              GetParam().decode_1024_ms, 0.0005);
}

TEST_P(Floors, ForwardIsHeldByArithmetic) {
  const Work pass = forward_pass(config, kType, 1, 1024);
  EXPECT_NEAR(pass.seconds(kH200) * 1e3, GetParam().forward_ms, 0.0005);
  EXPECT_EQ(pass.seconds(kH200), pass.operations / kH200.operations);
  EXPECT_EQ(forward_pass(config, kType, 8, 1024).operations, 8 * pass.operations);
}

TEST_P(Floors, ABackwardPassIsAForwardPassWithMoreAttention) {
  const double back = backward_pass(config, kType, 1, 1024).seconds(kH200),
               forward = forward_pass(config, kType, 1, 1024).seconds(kH200);
  EXPECT_NEAR(back / forward, GetParam().backward_over_forward, 0.006);
}

TEST_P(Floors, Captures) {
  EXPECT_NEAR(residual_bytes(config, kType, 1024) * 1e-6, GetParam().residual_megabytes, 0.1);
  EXPECT_NEAR(map_bytes(config, kType, 1024) * 1e-6, GetParam().map_megabytes, 0.5);
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, Floors,
    ::testing::Values(
        Published{"gpt2", 124439808, 247.3, 0.0575, 0.0663, 0.345, 20.4, 302, 1.11},
        Published{"gpt2-medium", 354823168, 707.5, 0.1645, 0.188, 0.982, 52.4, 805, 1.10},
        Published{"gpt2-large", 774030080, 1545, 0.359, 0.403, 2.124, 97, 1510, 1.09},
        Published{"gpt2-xl", 1557611200, 3112, 0.724, 0.797, 4.235, 160.6, 2517, 1.07}));

TEST(Floors, ManySequencesShareTheWeightsAndNotTheirCaches) {
  const Config config = size_config("gpt2");
  const double alone = decode_step(config, kType, kType, 1, 0).bytes,
               cache = 2.0 * 2 * 12 * 768;  // of one position
  EXPECT_EQ(decode_step(config, kType, kType, 64, 10).bytes, alone + 64 * 10 * cache);
  EXPECT_EQ(decode_step(config, kType, DType::kF32, 1, 10).bytes, alone + 10 * 2 * cache);
  EXPECT_EQ(decode_step(config, kType, kType, 64, 10).operations,
            64 * decode_step(config, kType, kType, 1, 10).operations);
}

TEST(Floors, SingleOperations) {
  const Work product = linear(8, 768, 3072, kType, 2, 2);
  EXPECT_EQ(product.operations, 2.0 * 8 * 768 * 3072);
  EXPECT_EQ(product.bytes, 2.0 * 768 * 3072 + 4.0 * 3072 + 8 * 2.0 * (768 + 3072));
  const Config config = size_config("gpt2");
  const Work decode = attention(config, kType, 64, 1, 1023);
  EXPECT_EQ(decode.bytes, 2.0 * 64 * 768 * (2 + 2 * 1024));
  EXPECT_EQ(decode.operations, 4.0 * 64 * 1024 * 768);
  EXPECT_EQ(attention(config, kType, 1, 1024, 0).operations, 4.0 * 768 * 1024 * 1025 / 2);
}

}  // namespace
}  // namespace vitrine::bench
