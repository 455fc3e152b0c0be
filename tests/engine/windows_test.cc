// SPDX-License-Identifier: MIT
// GPT-Neo's local layers, whose queries see their nearest positions alone: against transformers
// (tools/make_relative_goldens.py).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/engine/test_device.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

const std::string kFolder = VITRINE_SOURCE_DIR "/tests/engine/relatives/gpt_neo_window";

std::vector<float> logits_of(const vitrine::Run& run) { return run.logits().to_f32(); }

/// What whole maps give is the same bits on a CPU; a device rounds elsewhere.
void expect_composed(const std::vector<float>& composed, const std::vector<float>& fused) {
  if (testing_support::on_cpu()) {
    EXPECT_EQ(composed, fused);
    return;
  }
  ASSERT_EQ(composed.size(), fused.size());
  for (size_t i = 0; i < fused.size(); ++i) ASSERT_NEAR(composed[i], fused[i], 1e-5) << i;
}

class GptNeoWindow : public ::testing::Test {
 protected:
  const Model model_ = Model::load(kFolder, testing_support::test_options());
  const Json expected_ = read_json(kFolder + "/expected.json");
  const std::vector<int32_t> ids_ = expected_.at("ids").get<std::vector<int32_t>>();

  void expect_near(const char* what, const TensorView& got, double tolerance) const {
    const auto wanted = expected_.at(what).get<std::vector<double>>();
    const std::vector<float> values = got.to_f32();
    ASSERT_EQ(values.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i)
      ASSERT_NEAR(values[i], wanted[i], tolerance) << what << " " << i;
  }
};

TEST_F(GptNeoWindow, LongTextsAreThoseOfTransformers) {
  ASSERT_EQ(model_.config().windows, (std::vector<int64_t>{0, 8, 8}));
  size_t row = 0;
  const std::vector<float> logits = logits_of(model_.forward(ids_));
  for (const Json& expected : expected_.at("logits")) {
    for (const double value : expected) ASSERT_NEAR(logits.at(row++), value, 2e-5);
  }
  const Hooks maps =
      Hooks().capture("blocks.1.attn.hook_pattern").capture("blocks.1.attn.hook_attn_scores");
  const vitrine::Run run = model_.forward(ids_, maps);
  expect_near("pattern", run["blocks.1.attn.hook_pattern"], 2e-6);
  const std::vector<float> scores = run["blocks.1.attn.hook_attn_scores"].to_f32();
  const auto pattern = expected_.at("pattern").get<std::vector<double>>();
  for (size_t i = 0; i < scores.size(); ++i)
    ASSERT_EQ(scores[i] == -INFINITY, pattern[i] == 0) << i << ": masked is minus infinity";
  const Backward gradient =
      backward(model_, {ids_}, {target::logit(3, -1)},
               Hooks().gradient("hook_embed").gradient("blocks.*.attn.hook_*"));
  expect_near("gradient", gradient.gradient("hook_embed"), 2e-6);
  const std::vector<float> masked = gradient.gradient("blocks.1.attn.hook_pattern").to_f32();
  for (size_t i = 0; i < masked.size(); ++i) {
    if (pattern[i] == 0) {
      ASSERT_EQ(masked[i], 0) << i;
    }
  }
}

TEST_F(GptNeoWindow, ACachedTextGivesTheSameBits) {
  const std::vector<float> whole = logits_of(model_.forward(ids_));
  Session session = model_.session(1, std::ssize(ids_));
  std::vector<float> parts;
  for (size_t at = 0, size = 1; at < ids_.size(); at += size, size = size % 5 + 1) {
    size = std::min(size, ids_.size() - at);
    const auto begin = ids_.begin() + static_cast<std::ptrdiff_t>(at);
    const Batch next = {std::vector<int32_t>(begin, begin + static_cast<std::ptrdiff_t>(size))};
    const std::vector<float> part = logits_of(session.forward(next));
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(parts, whole);
  const auto length = expected_.at("prompt").get<std::ptrdiff_t>();
  const Batch prompt = {std::vector<int32_t>(ids_.begin(), ids_.begin() + length)};
  const Generation found = generate(model_, prompt, {.max_new_tokens = 12});
  EXPECT_EQ(found.sequences[0].ids, expected_.at("fresh").get<std::vector<int32_t>>());
}

TEST_F(GptNeoWindow, EditsOfMapsNeverUnmask) {
  const std::vector<float> plain = logits_of(model_.forward(ids_));
  const auto logits = [&](const Hooks& hooks) { return logits_of(model_.forward(ids_, hooks)); };
  const std::string scores = "blocks.*.attn.hook_attn_scores",
                    pattern = "blocks.*.attn.hook_pattern";
  expect_composed(logits(Hooks().edit(scores, scale(1))), plain);
  expect_composed(logits(Hooks().edit(pattern, scale(1))), plain);
  // A score of 0 everywhere is an even pattern over the window.
  const vitrine::Run even =
      model_.forward(ids_, Hooks()
                               .edit("blocks.1.attn.hook_attn_scores", zero())
                               .capture("blocks.1.attn.hook_*{scores,pattern}"));
  const std::vector<float> kept = even["blocks.1.attn.hook_pattern"].to_f32(),
                           edited = even["blocks.1.attn.hook_attn_scores"].to_f32();
  const int64_t length = std::ssize(ids_);
  for (int64_t i = 0; i < std::ssize(kept); ++i) {
    const int64_t query = i / length % length, key = i % length;
    const bool seen = key <= query && key > query - 8;
    const float share = 1.0f / static_cast<float>(std::min<int64_t>(query + 1, 8));
    ASSERT_NEAR(kept[static_cast<size_t>(i)], seen ? share : 0.0f, 1e-6f) << query << ", " << key;
    ASSERT_EQ(edited[static_cast<size_t>(i)], seen ? 0.0f : -INFINITY);
  }
  // The gradient through whole maps is that of the fused form.
  const auto gradient = [&](Hooks hooks) {
    const Backward found =
        backward(model_, {ids_}, {target::logit(3, -1)}, hooks.gradient("hook_embed"));
    return found.gradient("hook_embed").to_f32();
  };
  expect_composed(gradient(Hooks().edit(pattern, scale(1))), gradient({}));
}

}  // namespace
}  // namespace vitrine
