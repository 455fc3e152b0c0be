// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
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
using internal::cuda_on_host::recordings_made;

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

void expect_same(const Generation& a, const Generation& b) {
  ASSERT_EQ(a.sequences.size(), b.sequences.size());
  for (size_t s = 0; s < a.sequences.size(); ++s) {
    EXPECT_EQ(a.sequences[s].ids, b.sequences[s].ids) << s;
    for (const Captures::Entry& entry : a.captures->entries()) {
      const int sequence = static_cast<int>(s);
      EXPECT_EQ(a.captures->view(entry.name, sequence).to_f32(),
                b.captures->view(entry.name, sequence).to_f32())
          << entry.name << ", " << s;
    }
  }
}

TEST(Decode, AGenerationOfTheSameShapeRecordsNothing) {
  const Model model = model_of(2, DType::kF32);
  const Hooks hooks =
      Hooks().capture("blocks.*.hook_resid_post").capture("blocks.1.attn.hook_z", {.heads = {1}});
  const GenerateOptions options{.max_new_tokens = 10, .sampling = {.temperature = 0.9f, .seed = 3}};
  const Batch first = {{4, 8, 15}, {16}}, second = {{23, 42}, {1, 2, 3, 4, 5}};
  /// The generation of a model that has made no other.
  const auto alone = [&](const Batch& prompts, const GenerateOptions& o, const Hooks& h) {
    return generate(model_of(2, DType::kF32), prompts, o, h);
  };
  const Generation expected[] = {alone(first, options, hooks), alone(second, options, hooks)};
  int64_t before = recordings_made();
  const auto recorded = [&] {
    return recordings_made() - std::exchange(before, recordings_made());
  };
  expect_same(generate(model, first, options, hooks), expected[0]);
  EXPECT_EQ(recorded(), 1);
  expect_same(generate(model, second, options, hooks), expected[1]);
  expect_same(generate(model, first, options, hooks), expected[0]);
  EXPECT_EQ(recorded(), 0);
  // Fewer tokens, another seed, and a reader of each token, which ends the generation early.
  GenerateOptions other = options;
  other.max_new_tokens = 7;
  other.sampling.seed = 4;
  expect_same(generate(model, first, other, hooks), alone(first, other, hooks));
  before = recordings_made();
  int calls = 0;
  other.on_token = [&](int, int32_t) { return ++calls < 9; };
  const Generation stopped = generate(model, first, other, hooks);
  EXPECT_EQ(stopped.sequences[0].reason, StopReason::kCallback);
  expect_same(generate(model, second, options, hooks), expected[1]);
  EXPECT_EQ(recorded(), 0);

  other = options;
  other.sampling.temperature = 0.5f;
  expect_same(generate(model, first, other, hooks), alone(first, other, hooks));
  before = recordings_made();
  generate(model, first, other, hooks);
  EXPECT_EQ(recorded(), 0) << "the new choice of tokens is kept now";
  generate(model, first, options);
  EXPECT_EQ(recorded(), 1) << "other captures";
  generate(model, {first[0]}, options);
  EXPECT_EQ(recorded(), 1) << "another number of sequences";
  generate(model, {std::vector<int32_t>(70, 5)}, options);
  EXPECT_EQ(recorded(), 1) << "a larger cache";
  const Hooks edits = Hooks().edit("blocks.0.hook_mlp_out", scale(0.5f));
  for (int i = 0; i < 2; ++i) generate(model, {first[0]}, options, edits);
  EXPECT_EQ(recorded(), 2) << "edits are not kept";
}

}  // namespace
}  // namespace vitrine
