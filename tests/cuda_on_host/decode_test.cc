// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "kernels/cuda/runtime/switches.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/engine/test_device.h"
#include "vitrine/vitrine.h"

// What a decoded token costs in kernels, of which each takes more time than its work in a small
// model.

namespace vitrine {
namespace {

using internal::cuda_on_host::kernels_run;

Model model_of(int layers, DType dtype) {
  Config config;
  config.layers = layers;
  config.heads = 2;
  config.width = 32;
  config.inner = 64;
  config.vocab = 61;
  config.context = 200;
  return Model::random(config, 5, testing_support::test_options({.dtype = dtype}));
}

/// Kernels of the pass of one token after others.
int64_t kernels_of_a_token(int layers, DType dtype, const Hooks& hooks, const Batch& tokens) {
  const Model model = model_of(layers, dtype);
  Session session = model.session(static_cast<int>(tokens.size()), 20);
  session.forward(Batch(tokens.size(), {4, 8, 15}));
  const int64_t before = kernels_run();
  session.forward(tokens, hooks);
  return kernels_run() - before;
}

/// The same of one layer.
int64_t kernels_of_a_layer(DType dtype, const Hooks& hooks, const Batch& tokens = {{16}}) {
  const int64_t added =
      kernels_of_a_token(5, dtype, hooks, tokens) - kernels_of_a_token(2, dtype, hooks, tokens);
  EXPECT_EQ(added % 3, 0);
  return added / 3;
}

// qkv with its layernorm, attention with the new keys and values, two projections and the first of
// the MLP with its layernorm; or each of these apart.
TEST(Decode, ALayerIsFiveKernelsAlsoWithItsResidualStreamCaptured) {
  const int64_t whole = internal::cuda::switches().fused ? 5 : 8;
  const Hooks stream = Hooks()
                           .capture("blocks.0.hook_resid_pre")
                           .capture("blocks.*.hook_resid_mid")
                           .capture("blocks.*.hook_resid_post");
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    SCOPED_TRACE(dtype_name(dtype));
    EXPECT_EQ(kernels_of_a_layer(dtype, {}), whole);
    EXPECT_EQ(kernels_of_a_layer(dtype, stream), whole);
    EXPECT_EQ(kernels_of_a_layer(dtype, Hooks().capture("blocks.*.hook_resid_pre")), whole);
    EXPECT_EQ(kernels_of_a_layer(dtype, Hooks().capture("blocks.*.mlp.hook_pre")), whole);
    EXPECT_EQ(kernels_of_a_layer(dtype, {}, {{16}, {23}}), whole);
  }
}

TEST(Decode, AWatchedLayernormIsAKernelOfItsOwn) {
  const int64_t whole = internal::cuda::switches().fused ? 5 : 8;
  const int64_t apart = whole == 5 ? 1 : 0;
  // Kept as float32 beside 16-bit activations, it is copied, too.
  EXPECT_EQ(kernels_of_a_layer(DType::kBF16, Hooks().capture("blocks.*.ln1.hook_normalized")),
            whole + apart + 1);
  EXPECT_EQ(kernels_of_a_layer(DType::kBF16, Hooks().capture("blocks.*.ln2.hook_scale")),
            whole + apart);
}

}  // namespace
}  // namespace vitrine
