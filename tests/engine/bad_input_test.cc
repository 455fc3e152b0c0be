// Every misuse of the public face gets one line that names the thing, its value and the fix.

#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
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
  EXPECT_USER_ERROR(model_.forward(Batch{}), "no sequences");
  EXPECT_USER_ERROR(model_.forward(Batch{{1}, {}}), "sequence 1", "empty");
  EXPECT_USER_ERROR(model_.forward(Batch{{1, 40}}), "token id 40", "position 1", "0..39");
  EXPECT_USER_ERROR(model_.forward(Batch{{-1}}), "token id -1");
  EXPECT_USER_ERROR(model_.forward(std::vector<int32_t>(13, 0)), "13 tokens", "context holds 12");
}

TEST_F(BadInput, Sessions) {
  EXPECT_USER_ERROR(model_.session(0), "session of 0");
  EXPECT_USER_ERROR(model_.session(1, 13), "13 positions", "1..12");
  Session session = model_.session(2, 4);
  EXPECT_USER_ERROR(session.forward({{1}}), "1 sequences", "the session 2");
  EXPECT_USER_ERROR(session.forward({{}, {}}), "no new token");
  session.forward({{1, 2, 3}, {}});
  EXPECT_USER_ERROR(session.forward({{1, 2}, {1}}), "sequence 0", "5 tokens", "made for 4");
  EXPECT_EQ(session.length(0), 3) << "a refused pass changes nothing";
  EXPECT_USER_ERROR(session.truncate(0, 4), "cut to 4");
  EXPECT_USER_ERROR(static_cast<void>(session.length(2)), "sequence 2");
}

TEST_F(BadInput, Results) {
  const vitrine::Run run = model_.forward(Batch{{1, 2}, {3}}, Hooks().capture("hook_embed"));
  EXPECT_USER_ERROR(static_cast<void>(run.logits(2)), "sequence 2", "0..1");
  EXPECT_USER_ERROR(static_cast<void>(run["hook_embed"]), "2 sequences", "captures().view");
  EXPECT_USER_ERROR(static_cast<void>(run.captures().view("hook_pos_embed")), "hook_pos_embed", "captured are: hook_embed");
  EXPECT_USER_ERROR(static_cast<void>(run.captures().view("hook_embed", 2)), "sequence 2");
  const vitrine::Run maps = model_.forward(Batch{{1, 2}}, Hooks().capture("*hook_pattern"));
  EXPECT_USER_ERROR(maps.captures().mean("blocks.0.attn.hook_pattern"), "map");
}

TEST_F(BadInput, Unembedding) {
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 15}), {}), "[2, 15]", "width 16");
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 16}), {.targets = {1}}), "1 targets", "2 rows");
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 16}), {.watch = {40}}), "token id 40", "0..39");
  EXPECT_USER_ERROR(model_.unembed(Tensor(DType::kF32, Shape{2, 16}), {.top_k = -1}), "top_k -1");
}

TEST_F(BadInput, Models) {
  EXPECT_USER_ERROR(Model::load("/no/such/model"), "/no/such/model");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.device = "tpu"}), "device 'tpu'", "cpu");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.dtype = DType::kI8}), "i8", "f32, f16 or bf16");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.threads = -2}), "-2");
  EXPECT_USER_ERROR(static_cast<void>(model_.tokenizer()), "no tokenizer");
  Config config = small_config();
  config.activation = "softplus";
  EXPECT_USER_ERROR(Model::random(config, 1), "softplus", "gelu_new");
  config = small_config();
  config.heads = 3;
  EXPECT_USER_ERROR(Model::random(config, 1), "3", "16");
}

TEST_F(BadInput, ARunThatDoesNotFitIsRefusedWithItsBytesBySite) {
  const Model tight = Model::random(small_config(), 1, {.threads = 1, .memory_limit = model_.weight_bytes() + 20'000});
  EXPECT_NO_THROW(tight.forward(std::vector<int32_t>{1, 2}));
  EXPECT_USER_ERROR(tight.forward(std::vector<int32_t>(12, 1), Hooks().capture("*")), "free", "captures", "hook_result", "MB", "capture fewer");
  EXPECT_USER_ERROR(Model::random(small_config(), 1, {.memory_limit = 1000}), "weights", "1000");
}

}  // namespace
}  // namespace vitrine
