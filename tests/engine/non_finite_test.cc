// SPDX-License-Identifier: MIT
// A NaN in a pass is said to be one, with the place where it first appears, on every device.

#include "vitrine/non_finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/float_bits.h"
#include "tests/base/test_files.h"
#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::error_of;
using testing::says;
using testing_support::odd_config;
using testing_support::same_bits;
using testing_support::test_options;
using testing_support::tokens;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Model model() { return Model::random(odd_config(), 7, test_options({.threads = 2})); }

/// Makes one element of the selected rows `value`, during the pass.
Edit spoil(size_t element, float value = NAN) {
  return callback([=](EditView& view) {
    for (size_t r = 0; r < view.positions.size(); ++r)
      view.values[r * static_cast<size_t>(view.width) + element] = value;
  });
}

TEST(NonFinite, FindsTheFirstAtEverySite) {
  const Model m = model();
  const Batch batch = {tokens(6, 1), tokens(9, 2)};
  EXPECT_EQ(find_non_finite(m, batch), std::nullopt);
  for (const SiteInfo& info : kSites) {
    if (info.shape == SiteShape::kMap || info.site == Site::kResult) continue;
    const std::string name = (info.per_layer ? "blocks.1." : "") + std::string(info.name);
    const size_t element = info.shape == SiteShape::kScalar ? 0 : 3;
    for (const float value : {NAN, kInfinity}) {
      const Hooks edits =
          Hooks().edit(name, spoil(element, value), {.positions = {4, 5}, .sequences = {1}});
      const auto found = find_non_finite(m, batch, edits);
      ASSERT_TRUE(found) << name;
      EXPECT_EQ(found->site, name);
      EXPECT_EQ(found->sequence, 1);
      EXPECT_EQ(found->position, 4);
      EXPECT_EQ(found->element, static_cast<int64_t>(element));
      EXPECT_EQ(std::isnan(found->value), std::isnan(value));
    }
  }
}

TEST(NonFinite, SaysWhereAMapLeadsTo) {
  const Hooks edits = Hooks().edit("blocks.2.attn.hook_pattern", spoil(0), {.positions = {3}});
  const auto found = find_non_finite(model(), {tokens(6, 1)}, edits);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->text(), "blocks.2.attn.hook_z is NaN at position 3 (element 0)");
}

TEST(NonFinite, ForbiddenTokensAreValidUnlessAllAre) {
  const Model m = model();
  const float out = -kInfinity;
  const Tensor forbid = Tensor::from({&out, 1});
  EXPECT_EQ(find_non_finite(m, {tokens(6, 1)},
                            Hooks().edit("logits", replace(forbid), {.neurons = {1, 2}})),
            std::nullopt);
  const auto found = find_non_finite(m, {tokens(6, 1)},
                                     Hooks().edit("logits", replace(forbid), {.positions = {2}}));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->site, "logits");
  EXPECT_EQ(found->position, 2);
}

TEST(NonFinite, NoTokenIsDrawnFromIt) {
  const Model m = model();
  const Batch prompts = {tokens(5, 1), tokens(4, 2)};
  for (const float temperature : {0.0f, 1.0f}) {
    const GenerateOptions options{.max_new_tokens = 12, .sampling = {.temperature = temperature}};
    const auto refusal = [&](const Hooks& hooks) {
      return error_of([&] { generate(m, prompts, options, hooks); });
    };
    EXPECT_TRUE(says(refusal(Hooks().edit("blocks.1.hook_mlp_out", spoil(7), {.sequences = {1}})),
                     "the distribution of new token 0 of sequence 1 is not finite",
                     "blocks.1.hook_mlp_out is NaN at position 0 of sequence 1 (element 7)"));
    // In a later step: position 8 is the fourth new token of the first prompt.
    EXPECT_TRUE(says(refusal(Hooks().edit("blocks.0.attn.hook_k", spoil(2), {.positions = {8}})),
                     "the distribution of new token 4 of sequence 0",
                     "blocks.0.attn.hook_k is NaN at position 8 (element 2)"));
    EXPECT_TRUE(says(refusal(Hooks().edit("logits", spoil(9), {.positions = {-1}})),
                     "new token 0 of sequence 0", "logits is NaN at position 4 (element 9)"));
  }
}

// Overflow by edits that run on the device.
TEST(NonFinite, NoTokenIsDrawnAfterAnOverflow) {
  const Model m = model();
  const float huge = 3e38f;
  const Hooks edits =
      Hooks().edit("blocks.1.hook_mlp_out", scale(huge)).edit("blocks.1.hook_mlp_out", scale(huge));
  const std::string said =
      error_of([&] { generate(m, {tokens(5, 1)}, {.max_new_tokens = 12}, edits); });
  EXPECT_TRUE(says(said, "new token 0", "blocks.1.hook_mlp_out is", "infinite at position 0"));
}

TEST(NonFinite, ForbiddenTokensAreNotGenerated) {
  const Model m = model();
  const Batch prompts = {tokens(5, 1)};
  const auto free = generate(m, prompts, {.max_new_tokens = 1}).sequences[0].ids[0];
  const float out = -kInfinity;
  const Hooks forbid =
      Hooks().edit("logits", replace(Tensor::from({&out, 1})), {.neurons = {free}});
  EXPECT_NE(generate(m, prompts, {.max_new_tokens = 1}, forbid).sequences[0].ids[0], free);
}

TEST(NonFinite, OperandsAreRefused) {
  const std::vector<float> values = {1.0f, 2.0f, NAN, 4.0f};
  const Tensor operand = Tensor::from(values);
  EXPECT_TRUE(says(error_of([&] { add(operand); }), "the operand of add is NaN at element 2"));
  EXPECT_TRUE(says(error_of([&] { replace(operand); }), "operand of replace is NaN at element 2"));
  EXPECT_TRUE(says(error_of([&] { mean_ablate(operand); }), "NaN at element 2"));
  EXPECT_TRUE(says(error_of([&] { project_out(operand); }), "NaN at element 2"));
  EXPECT_TRUE(says(error_of([&] { scale(NAN); }), "the factor of scale is nan"));
  EXPECT_TRUE(says(error_of([&] { scale(kInfinity); }), "the factor of scale is inf"));
}

TEST(NonFinite, StatisticsOfGivenLogitsAreThoseOfTheUnembedding) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(20, 3), targets = tokens(20, 4);
  const auto run = m.forward(ids, Hooks().capture("ln_final.hook_normalized").capture("logits"));
  UnembedOptions options{.final_layernorm = false, .top_k = 4, .targets = targets, .watch = {1, 9}};
  const LogitStats computed = m.unembed(run["ln_final.hook_normalized"], options);
  options.rows_are_logits = true;
  const LogitStats given = m.unembed(run["logits"], options);
  EXPECT_EQ(given.top_ids, computed.top_ids);
  EXPECT_EQ(given.lse, computed.lse);
  EXPECT_EQ(given.entropy, computed.entropy);
  EXPECT_EQ(given.target_ranks, computed.target_ranks);
  EXPECT_EQ(given.target_logits, computed.target_logits);
  EXPECT_EQ(given.watch_logits, computed.watch_logits);
  EXPECT_TRUE(says(error_of([&] { m.unembed(run["ln_final.hook_normalized"], options); }),
                   "unembed has rows of shape [20, 60]: expected the vocabulary's size 301"));
  options.final_layernorm = true;
  EXPECT_TRUE(says(error_of([&] { m.unembed(run["logits"], options); }), "final_layernorm"));
}

TEST(NonFinite, UnembeddedRowsHaveNoNumbers) {
  const Model m = model();
  std::vector<float> rows(2 * 60, 0.5f);
  rows[61] = NAN;
  const LogitStats stats =
      m.unembed(TensorView(rows.data(), DType::kF32, Shape{2, 60}),
                {.final_layernorm = false, .top_k = 2, .targets = {3, 4}, .watch = {5}});
  EXPECT_TRUE(std::isfinite(stats.lse[0]));
  EXPECT_GT(stats.target_ranks[0], 0);
  EXPECT_TRUE(std::isnan(stats.lse[1]) && std::isnan(stats.entropy[1]));
  EXPECT_EQ(stats.target_ranks[1], 0);
  EXPECT_EQ(stats.watch_ranks[1], 0);
  EXPECT_EQ(stats.top_ids[2], -1);
}

/// A checkpoint with one weight replaced.
std::filesystem::path checkpoint_with(const testing::TempFolder& folder, const std::string& tensor,
                                      int64_t element, float value, DType dtype) {
  const std::filesystem::path path = folder / "model";
  write_random_checkpoint(path, {.config = odd_config(), .seed = 3, .dtype = dtype});
  const auto file = path / "model.safetensors";
  const SafetensorsFile before{file};
  std::vector<Tensor> copies;
  std::vector<std::pair<std::string, TensorView>> all;
  for (const std::string& name : before.names()) {
    const TensorView view = before.tensor(name);
    Tensor& copy = copies.emplace_back(view.dtype(), view.shape());
    const auto bytes = view.host_bytes();
    std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(copy.data()));
    if (name.ends_with(tensor)) {
      if (dtype == DType::kF32)
        copy.f32()[static_cast<size_t>(element)] = value;
      else
        static_cast<uint16_t*>(copy.data())[element] = f32_to_bf16(value);
    }
  }
  for (size_t i = 0; i < copies.size(); ++i) all.emplace_back(before.names()[i], copies[i].view());
  SafetensorsWriter::write(folder / "other.safetensors", all);
  std::filesystem::rename(folder / "other.safetensors", file);
  return path;
}

TEST(NonFinite, WeightsThatDoNotFitAreRefused) {
  const struct {
    const char* tensor;
    int64_t element;
    float value;
    DType from, store;
    const char* place;
  } cases[] = {
      {"h.1.mlp.c_fc.weight", 5 * 100 + 7, -70000.0f, DType::kF32, DType::kF16, "[5, 7]"},
      {"h.1.mlp.c_fc.weight", 5 * 100 + 7, 65520.0f, DType::kF32, DType::kF16, "[5, 7]"},
      {"wte.weight", 300 * 60 + 59, 1e30f, DType::kF32, DType::kF16, "[300, 59]"},
      {"wpe.weight", 0, 3.4e38f, DType::kF32, DType::kBF16, "[0, 0]"},
      {"h.2.attn.c_attn.weight", 59 * 180 + 179, 1e6f, DType::kBF16, DType::kF16, "[59, 179]"},
  };
  for (const auto& c : cases) {
    const testing::TempFolder folder;
    const auto path = checkpoint_with(folder, c.tensor, c.element, c.value, c.from);
    const auto load = [&](DType dtype) {
      ModelOptions options = test_options();
      options.dtype = dtype;
      return error_of([&] { Model::load(path.string(), options); });
    };
    EXPECT_TRUE(says(load(c.store), std::string("weight ") + c.place,
                     std::string("'") + c.tensor + "'", "cannot hold",
                     std::string(dtype_name(c.store)), "load the weights as f32"));
    EXPECT_EQ(load(DType::kF32), "(no error)");
  }
  const testing::TempFolder folder;
  const auto path = checkpoint_with(folder, "h.1.mlp.c_fc.weight", 3, 65504.0f, DType::kF32);
  ModelOptions options = test_options();
  options.dtype = DType::kF16;
  EXPECT_EQ(error_of([&] { Model::load(path.string(), options); }), "(no error)");
}

}  // namespace
}  // namespace vitrine
