// SPDX-License-Identifier: MIT
// An exception out of ModelOptions::between_layers or a Progress ends the work and leaves
// everything as it was.

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "engine/random_weights.h"
#include "tests/base/test_files.h"
#include "tests/engine/odd_model.h"
#include "tests/support.h"
#include "vitrine/checkpoint/random_checkpoint.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::odd_config;
using testing_support::same_bits;
using testing_support::tokens;

struct Cancelled {};

TEST(Cancel, APassEndsBetweenTwoLayersAndTheModelStaysUsable) {
  int left = -1;  // calls until the exception; negative: none
  int calls = 0;
  const Model model = Model::random(odd_config(), 1, {.threads = 1, .between_layers = [&] {
                                                        ++calls;
                                                        if (left >= 0 && left-- == 0)
                                                          throw Cancelled{};
                                                      }});
  const auto ids = tokens(7, 1);
  Hooks hooks;
  hooks.capture("blocks.*.hook_resid_post");
  const auto work = [&] {
    vitrine::Run run = model.forward(ids, hooks);
    backward(model, {ids}, {target::logit(3, 2)}, Hooks().gradient("hook_embed"));
    GenerateOptions options;
    options.max_new_tokens = 3;
    generate(model, {ids}, options);
    return run;
  };
  const vitrine::Run before = work();
  const int all = calls;
  ASSERT_GE(all, 3 * odd_config().layers) << "forward, backward and each token";
  for (int at = 0; at < all; ++at) {
    left = at;
    EXPECT_THROW(work(), Cancelled) << at;
  }
  left = -1;
  const vitrine::Run after = work();
  EXPECT_TRUE(same_bits(before.logits(), after.logits()));
  for (const auto& site : before.captures().entries())
    EXPECT_TRUE(same_bits(before[site.name], after[site.name])) << site.name;
}

TEST(Cancel, APassWithoutLogitsEndsAfterTheLastSiteThatIsUsed) {
  int calls = 0;
  const Model model =
      Model::random(odd_config(), 1, {.threads = 1, .between_layers = [&] { ++calls; }});
  const auto ids = tokens(7, 1);
  const auto layers_of = [&](const Hooks& hooks, LogitRows logits) {
    calls = 0;
    model.forward(ids, hooks, {.logits = logits});
    return calls;
  };
  const int all = odd_config().layers;
  const vitrine::Run whole = model.forward(ids, Hooks().capture("*"));
  const std::pair<const char*, int> cases[] = {
      {"hook_embed", 0},
      {"hook_pos_embed", 0},
      {"blocks.0.hook_resid_pre", 1},
      {"blocks.0.attn.hook_pattern", 1},
      {"blocks.0.hook_resid_mid", 1},
      {"blocks.1.mlp.hook_post", 2},
      {"blocks.{0..1}.hook_resid_post", 2},
      {"blocks.2.hook_resid_post", all},
      {"ln_final.hook_normalized", all},
      {"logits", all},
  };
  for (const auto& [sites, layers] : cases) {
    Hooks hooks;
    hooks.capture(sites);
    EXPECT_EQ(layers_of(hooks, LogitRows::kNone), layers) << sites;
    EXPECT_EQ(layers_of(hooks, LogitRows::kLast), all) << sites;
    const vitrine::Run run = model.forward(ids, hooks, {.logits = LogitRows::kNone});
    for (const auto& site : run.captures().entries())
      EXPECT_TRUE(same_bits(run[site.name], whole[site.name])) << site.name;
  }
  Hooks later;
  later.capture("blocks.0.hook_resid_post");
  bool seen = false;
  later.edit("blocks.2.hook_mlp_out", callback([&](EditView&) { seen = true; }));
  EXPECT_EQ(layers_of(later, LogitRows::kNone), all);
  EXPECT_TRUE(seen) << "a callback may only look";
  Session session = model.session(1);
  calls = 0;
  session.forward(Batch{ids}, Hooks().capture("hook_embed"), {.logits = LogitRows::kNone});
  EXPECT_EQ(calls, all) << "the next tokens read the keys and values of every layer";
}

class Counting : public Progress {
 public:
  explicit Counting(int left = 1 << 30) : left_(left) {}
  void update(uint64_t done, uint64_t, std::string_view) override {
    seen.insert(done);
    if (left_-- == 0) throw Cancelled{};
  }
  std::set<uint64_t> seen;

 private:
  int left_;
};

// A tensor of GPT-2 XL takes seconds to draw.
TEST(Cancel, ARandomCheckpointReportsInsideATensorAndCanBeEndedThere) {
  const testing::TempFolder folder;
  Config config = odd_config();
  config.vocab = 120'000;
  const RandomCheckpoint what{.config = config, .dtype = DType::kF16};
  Counting all;
  write_random_checkpoint(folder / "whole", what, {.progress = &all});
  const uint64_t table = static_cast<uint64_t>(config.vocab) * config.width * 2;
  const auto inside = std::distance(all.seen.begin(), all.seen.lower_bound(table));
  EXPECT_GE(inside, 3) << "reports before the first tensor is made";
  Counting some(2);
  EXPECT_THROW(write_random_checkpoint(folder / "ended", what, {.progress = &some}), Cancelled);
  EXPECT_EQ(folder.count(), 1u);
  // In pieces or at once: the elements are the same.
  const RandomWeights weights(config, 0, RandomInit::kGpt2);
  EXPECT_TRUE(same_bits(weights.make("wte.weight", DType::kF16).view(),
                        weights.make("wte.weight", DType::kF16, [](int64_t) {}).view()));
}

TEST(Cancel, LoadingCanBeEnded) {
  for (const int left : {0, 3}) {
    Counting some(left);
    EXPECT_THROW(Model::random(odd_config(), 1, {.progress = &some}), Cancelled);
  }
}

}  // namespace
}  // namespace vitrine
