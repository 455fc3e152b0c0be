// SPDX-License-Identifier: MIT
// Every misuse of the public face gets one line that names the thing, its value and the fix.

#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

Config small_config() {
  Config config;
  config.layers = 2;
  config.heads = 2;
  config.width = 16;
  config.inner = 32;
  config.vocab = 40;
  config.context = 12;
  return config;
}

class BadInput : public ::testing::Test {
 protected:
  Model model_ = Model::random(small_config(), 1, {.threads = 1});
};

TEST_F(BadInput, Batches) {
  EXPECT_USER_ERROR(model_.forward(Batch{}), "batch is empty");
  EXPECT_USER_ERROR(model_.forward(Batch{{1}, {}}), "sequence 1", "empty");
  EXPECT_USER_ERROR(model_.forward(Batch{{1, 40}}), "token id 40", "position 1", "0..39");
  EXPECT_USER_ERROR(model_.forward(Batch{{-1}}), "token id -1");
  EXPECT_USER_ERROR(model_.forward(std::vector<int32_t>(13, 0)), "13 tokens",
                    "expected at most 12");
}

TEST_F(BadInput, Sessions) {
  EXPECT_USER_ERROR(model_.session(0), "session of 0");
  EXPECT_USER_ERROR(model_.session(1, 13), "13 positions", "1..12");
  Session session = model_.session(2, 4);
  EXPECT_USER_ERROR(session.forward({{1}}), "1 sequences", "expected 2");
  EXPECT_USER_ERROR(session.forward({{}, {}}), "missing new tokens");
  session.forward({{1, 2, 3}, {}});
  EXPECT_USER_ERROR(session.forward({{1, 2}, {1}}), "sequence 0", "5 tokens", "at most 4");
  EXPECT_EQ(session.length(0), 3) << "a refused pass changes nothing";
  EXPECT_USER_ERROR(session.truncate(0, 4), "truncated to 4");
  EXPECT_USER_ERROR(static_cast<void>(session.length(2)), "sequence 2");
  EXPECT_USER_ERROR(session.fork(2, 1), "sequence 2");
  EXPECT_USER_ERROR(session.fork(0, 0), "0 copies");
}

TEST_F(BadInput, PassesFromABlockOn) {
  const int64_t width = model_.config().width;
  const int last = model_.config().layers - 1;
  const std::vector<float> zeros(static_cast<size_t>(13 * width));
  const auto rows = [&](int64_t count, int64_t columns) {
    return TensorView(zeros.data(), DType::kF32, Shape{count, columns});
  };
  Session session = model_.session(1, 4);
  EXPECT_USER_ERROR(session.forward_from(last + 1, {rows(1, width)}),
                    "is out of range: expected 0..");
  EXPECT_USER_ERROR(session.forward_from(-1, {rows(1, width)}), "layer -1");
  EXPECT_USER_ERROR(session.forward_from(last, {rows(1, width + 1)}), "residuals of sequence 0",
                    "[1, ");
  EXPECT_USER_ERROR(session.forward_from(last, {rows(5, width)}), "5 tokens", "at most 4");
  EXPECT_USER_ERROR(session.forward_from(last, {rows(1, width), rows(1, width)}), "2 sequences");
  EXPECT_USER_ERROR(
      session.forward_from(last, {TensorView(zeros.data(), DType::kF16, Shape{1, width})}), "f16");
  EXPECT_USER_ERROR(session.forward_from(last, {rows(1, width)}, Hooks().capture("hook_embed")),
                    "does not reach 'hook_embed'");
  if (last > 0)
    EXPECT_USER_ERROR(
        session.forward_from(last, {rows(1, width)}, Hooks().edit("blocks.0.hook_mlp_out", zero())),
        "blocks.0.hook_mlp_out");
  EXPECT_EQ(session.length(0), 0) << "a refused pass changes nothing";
}

TEST_F(BadInput, Results) {
  const vitrine::Run run = model_.forward(Batch{{1, 2}, {3}}, Hooks().capture("hook_embed"));
  EXPECT_USER_ERROR(static_cast<void>(run.logits(2)), "sequence 2", "0..1");
  EXPECT_USER_ERROR(static_cast<void>(run["hook_embed"]), "2 sequences", "captures().view");
  EXPECT_USER_ERROR(static_cast<void>(run.captures().view("hook_pos_embed")), "hook_pos_embed",
                    "expected one of hook_embed");
  EXPECT_USER_ERROR(static_cast<void>(run.captures().view("hook_embed", 2)), "sequence 2");
  const vitrine::Run maps = model_.forward(Batch{{1, 2}}, Hooks().capture("*hook_pattern"));
  EXPECT_USER_ERROR(maps.captures().mean("blocks.0.attn.hook_pattern"), "map");
}

TEST_F(BadInput, Unembedding) {
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 15}), {}), "[2, 15]", "width 16");
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 16}), {.targets = {1}}),
                    "1 targets", "2 rows");
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 16}), {.watch = {40}}),
                    "token id 40", "0..39");
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 16}), {.top_k = -1}), "top_k -1");
}

TEST_F(BadInput, Targets) {
  const Batch batch = {{1, 2, 3}, {4}};
  const Hooks hooks = Hooks().gradient("hook_embed");
  const auto run = [&](const Target& target) { backward(model_, batch, {target}, hooks); };
  EXPECT_USER_ERROR(run(target::logit(40)), "token id 40", "0..39");
  EXPECT_USER_ERROR(run(target::log_prob(-1)), "token id -1", "0..39");
  EXPECT_USER_ERROR(run(target::prob(3, 3)), "position 3", "sequence 0", "3 tokens");
  EXPECT_USER_ERROR(run(target::entropy(-2)), "position -2", "sequence 1", "1 token");
  EXPECT_USER_ERROR(run(target::cross_entropy()), "sequence 1", "two tokens");
  EXPECT_USER_ERROR(run(target::kl(Tensor(DType::kF32, Shape{39}))), "39", "40");
  EXPECT_USER_ERROR(run(target::reverse_kl(Tensor(DType::kF32, Shape{41}))), "41", "40");
  EXPECT_USER_ERROR(run(target::norm("blocks.2.hook_resid_mid")), "blocks.2.hook_resid_mid");
  EXPECT_USER_ERROR(run(target::norm("blocks.1.attn.hook_pattern")), "blocks.1.attn.hook_pattern",
                    "map");
  EXPECT_USER_ERROR(run(target::linear("blocks.1.hook_resid_mid", Tensor(DType::kF32, Shape{15}))),
                    "blocks.1.hook_resid_mid", "15", "16");
  EXPECT_USER_ERROR(run(Target()), "target");
  EXPECT_USER_ERROR(target::logit_difference({}, {1}), "empty token set");
  EXPECT_USER_ERROR(target::logit_difference({1}, {}), "empty token set");
  EXPECT_USER_ERROR(target::kl(Tensor(DType::kF32, Shape{2, 40})), "[2, 40]");
  EXPECT_USER_ERROR(target::kl(Tensor(DType::kF16, Shape{40})), "f16", "f32");
  EXPECT_USER_ERROR(target::linear("hook_embed", Tensor(DType::kF16, Shape{16})), "f16", "f32");
}

TEST_F(BadInput, Gradients) {
  const Batch batch = {{1, 2, 3}};
  const Hooks hooks = Hooks().gradient("hook_embed");
  EXPECT_USER_ERROR(backward(model_, batch, {}, hooks), "0 targets", "1 sequence");
  EXPECT_USER_ERROR(backward(model_, {{1}, {2}, {3}}, {target::logit(1), target::logit(2)}, hooks),
                    "2 targets", "3 sequences");
  EXPECT_USER_ERROR(
      backward(model_, batch, {target::logit(1)}, Hooks().gradient("blocks.*.hook_nothing")),
      "blocks.*.hook_nothing");
  EXPECT_USER_ERROR(backward(model_, batch, {target::logit(1)},
                             Hooks().gradient("hook_embed", {.positions = {3}})),
                    "hook_embed", "3");
  // Sites after the target's.
  EXPECT_USER_ERROR(backward(model_, batch, {target::norm("blocks.0.hook_resid_mid")},
                             Hooks().gradient("blocks.0.hook_resid_post")),
                    "blocks.0.hook_resid_post", "does not depend", "earlier site");
  EXPECT_USER_ERROR(backward(model_, batch, {target::norm("blocks.1.hook_resid_mid")},
                             Hooks().gradient("logits")),
                    "logits", "does not depend");
  // Nothing reaches scores through a pattern that is a constant.
  EXPECT_USER_ERROR(backward(model_, batch, {target::logit(1)},
                             Hooks().gradient("blocks.1.attn.hook_attn_scores"),
                             {.linearised = {.patterns = true}}),
                    "blocks.1.attn.hook_attn_scores", "pattern");
  EXPECT_USER_ERROR(
      backward(model_, batch, {target::logit(1)}, Hooks().gradient("ln_final.hook_scale"),
               {.linearised = {.scales = true}}),
      "ln_final.hook_scale", "scales");
  const auto nothing = [](EditView&) {};
  EXPECT_USER_ERROR(backward(model_, batch, {target::norm("blocks.1.ln2.hook_scale")}, hooks,
                             {.linearised = {.scales = true}}),
                    "the target reads the frozen site 'blocks.1.ln2.hook_scale'");
  EXPECT_USER_ERROR(backward(model_, batch, {target::logit(1)},
                             Hooks(hooks).edit("blocks.0.hook_resid_mid", callback(nothing))),
                    "blocks.0.hook_resid_mid", "callback", "straight_through");
  EXPECT_USER_ERROR(model_.forward(batch, hooks), "hook_embed", "backward");
  Session session = model_.session(1, 4);
  EXPECT_USER_ERROR(session.forward(batch, hooks), "hook_embed", "backward");
  EXPECT_USER_ERROR(backward(model_, Batch{}, {target::logit(1)}, hooks), "batch is empty");
  EXPECT_USER_ERROR(backward(model_, Batch{{1}, {}}, {target::logit(1)}, hooks), "sequence 1",
                    "empty");
  EXPECT_USER_ERROR(backward(model_, Batch{{1, 40}}, {target::logit(1)}, hooks), "token id 40",
                    "position 1");
  EXPECT_USER_ERROR(backward(model_, Batch{std::vector<int32_t>(13, 0)}, {target::logit(1)}, hooks),
                    "13 tokens", "expected at most 12");
  EXPECT_USER_ERROR(backward(model_, batch, {target::logit(1)}, Hooks().capture("*")),
                    "no gradient", "Hooks::gradient()");
  const Backward found = backward(model_, batch, {target::logit(1)}, hooks);
  EXPECT_USER_ERROR(static_cast<void>(found.gradient("hook_pos_embed")), "hook_pos_embed");
}

TEST_F(BadInput, Models) {
  EXPECT_USER_ERROR(Model::load("/no/such/model"), "/no/such/model");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.device = "tpu"}), "device 'tpu'", "cpu");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.dtype = DType::kI32}), "i32",
                    "f32, f16, bf16 or int8");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.threads = -2}), "-2");
  EXPECT_USER_ERROR(static_cast<void>(model_.tokenizer()), "missing tokenizer");
  Config config = small_config();
  config.activation = "softplus";
  EXPECT_USER_ERROR(Model::random(config, 1), "softplus", "gelu_new");
  config = small_config();
  config.heads = 3;
  EXPECT_USER_ERROR(Model::random(config, 1), "3", "16");
}

TEST_F(BadInput, ARunThatDoesNotFitIsRefusedWithItsBytesBySite) {
  const Model tight = Model::random(small_config(), 1,
                                    {.threads = 1, .memory_limit = model_.weight_bytes() + 20'000});
  EXPECT_NO_THROW(tight.forward(std::vector<int32_t>{1, 2}));
  EXPECT_USER_ERROR(tight.forward(std::vector<int32_t>(12, 1), Hooks().capture("*")), "free",
                    "captures", "hook_result", "MB", "captures of fewer");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.memory_limit = 1000}), "weights", "1000");
  const Batch batch(4, std::vector<int32_t>(12, 1));
  EXPECT_USER_ERROR(backward(tight, batch, {target::logit(1)}, Hooks().gradient("*")), "free",
                    "MB");
}

}  // namespace
}  // namespace vitrine
