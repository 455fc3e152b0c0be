// SPDX-License-Identifier: MIT
// The engine against Hugging Face transformers on small random checkpoints: every configuration
// that GPT-2 has, every way in which its files have been laid out, every site.
// tests/goldens/README.md.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/golden_support.h"
#include "tests/engine/test_device.h"
#include "tests/run_values.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using namespace testing_support;

/// Checkpoints in 16 bits are exact in float32, which is what their expected values were computed
/// from. A GPU would multiply them as 16-bit numbers and round activations to that, so there they
/// are widened; the CPU widens as it goes.
ModelOptions golden_options() {
  ModelOptions options = test_options();
  if (!on_cpu()) options.dtype = DType::kF32;
  return options;
}

/// What a run may be off: on a GPU five times what the CPU may, because tensor cores cut sums off
/// instead of rounding them, so that errors of many sums point the same way and add up.
double allowed_for(const Golden& golden) { return golden.tolerance() * (on_cpu() ? 1 : 5); }

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  Golden golden_{GetParam()};
  Model model_ = Model::load(golden_.folder().string(), golden_options());
};

/// The names of every site of a model, in the order of the pass.
std::vector<std::string> all_sites(const Config& config) {
  std::vector<std::string> names;
  for (const SiteInfo& info : kSites) {
    for (int layer = 0; layer < (info.per_layer ? config.layers : 1); ++layer)
      names.push_back(site_name(info.site, layer));
  }
  return names;
}

TEST_P(GoldenTest, EverySiteAgrees) {
  const double allowed = allowed_for(golden_);
  double worst = 0.0;
  std::string worst_site;
  const std::vector<Golden::Sequence> sequences = golden_.sequences();
  for (size_t i = 0; i < sequences.size(); ++i) {
    Hooks hooks;
    hooks.capture("*");
    const vitrine::Run run = model_.forward(sequences[i].ids, hooks);
    for (const std::string& site : all_sites(model_.config())) {
      const std::string name = fmt::format("seq{}/{}", i, site);
      if (!golden_.tensors().has(name)) {
        EXPECT_TRUE(site.ends_with("hook_result")) << "the golden lacks " << name;
        continue;
      }
      const double error = max_error(run[site], golden_.tensors().tensor(name)),
                   spread = golden_.spread(site);
      if (site == "hook_embed" || site == "hook_pos_embed") {
        EXPECT_EQ(error, 0.0) << name << ": a row of a table takes no arithmetic";
      }
      EXPECT_TRUE(within(error, spread, allowed)) << name;
      if (error > worst * spread) {
        worst = error / spread;
        worst_site = name;
      }
    }
  }
  fmt::print("{}: largest error {:.1e} of the spread ({}); allowed {:.1e}\n", GetParam(), worst,
             worst_site, allowed);
}

TEST_P(GoldenTest, LogitsWithoutHooksAgree) {
  Batch batch;
  for (const auto& sequence : golden_.sequences()) batch.push_back(sequence.ids);
  const vitrine::Run run = model_.forward(batch);
  for (int i = 0; i < run.sequences(); ++i) {
    const double error =
        max_error(run.logits(i), golden_.tensors().tensor(fmt::format("seq{}/logits", i)));
    EXPECT_TRUE(within(error, golden_.spread("logits"), allowed_for(golden_))) << "sequence " << i;
  }
}

// A logit's error moves a log-probability by at most twice as much: once by itself, once through
// the log-sum-exp.
TEST_P(GoldenTest, LossAgrees) {
  for (const auto& sequence : golden_.sequences()) {
    if (!sequence.loss) continue;
    const double loss =
        next_token_loss(testing_support::logits_of(model_.forward(sequence.ids)), sequence.ids);
    EXPECT_TRUE(within(std::abs(loss - *sequence.loss), golden_.spread("logits"),
                       2 * allowed_for(golden_)));
  }
}

// The same numbers by the way that never holds [T, V]: log-sum-exp, one watched id, its rank, the
// best id.
TEST_P(GoldenTest, LogitStatisticsAgree) {
  const std::vector<Golden::Sequence> sequences = golden_.sequences();
  for (size_t i = 0; i < sequences.size(); ++i) {
    Hooks hooks;
    hooks.capture(site_name(Site::kResidPost, model_.config().layers - 1));
    const vitrine::Run run = model_.forward(sequences[i].ids, hooks, {.logits = LogitRows::kNone});
    const TensorView residual = run.captures().entries().front().sequences.front().values;
    UnembedOptions options;
    options.top_k = 1;
    options.watch = {sequences[i].target_id};
    const LogitStats stats = model_.unembed(residual, options);
    const std::vector<double> logits =
        doubles(golden_.tensors().tensor(fmt::format("seq{}/logits", i)));
    const auto vocab = static_cast<size_t>(model_.config().vocab);
    for (size_t row = 0; row < sequences[i].ids.size(); ++row) {
      const auto begin = logits.begin() + static_cast<int64_t>(row * vocab),
                 end = begin + static_cast<int64_t>(vocab);
      const double best = *std::max_element(begin, end), watched = begin[sequences[i].target_id];
      double sum = 0.0;
      for (auto it = begin; it != end; ++it) sum += std::exp(*it - best);
      const double allowed = allowed_for(golden_) * golden_.spread("logits");
      EXPECT_NEAR(stats.lse[row], best + std::log(sum), allowed);
      EXPECT_NEAR(stats.top_logits[row], best, allowed);
      EXPECT_EQ(stats.top_ids[row], std::max_element(begin, end) - begin);
      EXPECT_NEAR(stats.watch_logits[row], watched, allowed);
      EXPECT_EQ(stats.watch_ranks[row],
                1 + std::count_if(begin, end, [&](double value) { return value > watched; }));
    }
  }
}

/// The places of a map that a query sees; of anything else, all. The golden has numbers at the
/// others, which mean nothing.
std::vector<double> visible(const std::string& site, TensorView values) {
  std::vector<double> all = doubles(values);
  if (!site.ends_with("hook_pattern")) return all;
  const auto keys = static_cast<size_t>(values.shape().back());
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % keys > i / keys % keys) all[i] = 0.0;
  }
  return all;
}

// PyTorch's autograd, at every site that was stored, of a logit and of the loss.
TEST_P(GoldenTest, GradientsAgree) {
  const std::vector<Golden::Sequence> sequences = golden_.sequences();
  int compared = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Golden::Sequence& sequence = sequences[i];
    for (const std::string kind : {"grad/", "grad_loss/"}) {
      if (kind == "grad_loss/" && !sequence.loss) continue;
      const Target target = kind == "grad/"
                                ? target::logit(sequence.target_id, sequence.target_position)
                                : target::cross_entropy();
      const Backward got = backward(model_, {sequence.ids}, {target}, Hooks().gradient("*"));
      if (kind == "grad_loss/") {
        EXPECT_NEAR(got.values[0], *sequence.loss,
                    2 * allowed_for(golden_) * golden_.spread("logits"));
      }
      const double allowed = golden_.tolerance(kind) * (on_cpu() ? 1 : 5);
      for (const std::string& site : all_sites(model_.config())) {
        const std::string name = fmt::format("seq{}/{}{}", i, kind, site);
        if (!golden_.tensors().has(name)) continue;
        const double error = max_error(visible(site, got.gradient(site)),
                                       visible(site, golden_.tensors().tensor(name)));
        EXPECT_TRUE(within(error, golden_.spread(kind + site), allowed)) << name;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 0);
}

GenerateOptions greedy_options(size_t tokens) {
  GenerateOptions options;
  options.max_new_tokens = static_cast<int>(tokens);
  return options;
}

TEST_P(GoldenTest, GreedyContinuationsAgree) {
  for (const Golden::Greedy& greedy : golden_.greedy()) {
    const Generation out =
        generate(model_, {greedy.prompt}, greedy_options(greedy.continuation.size()));
    EXPECT_EQ(out.sequences.at(0).ids, greedy.continuation)
        << "a prompt of " << greedy.prompt.size() << " tokens";
  }
}

TEST_P(GoldenTest, GreedyContinuationsAgreeInABatch) {
  Batch prompts;
  size_t longest = 0;
  const std::vector<Golden::Greedy> greedy = golden_.greedy();
  for (const auto& one : greedy) {
    prompts.push_back(one.prompt);
    longest = std::max(longest, one.continuation.size());
  }
  GenerateOptions options = greedy_options(longest);
  options.past_context = PastContext::kEnd;  // the longer prompts have room for fewer
  const Generation out = generate(model_, prompts, options);
  for (size_t i = 0; i < greedy.size(); ++i) {
    std::vector<int32_t> ids = out.sequences.at(i).ids;
    ids.resize(std::min(
        ids.size(),
        greedy[i].continuation.size()));  // a longer one was requested where the context allowed
    EXPECT_EQ(ids, greedy[i].continuation) << "prompt " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoint, GoldenTest, testing::ValuesIn(Golden::checkpoints()),
                         [](const auto& checkpoint) { return checkpoint.param; });

// A folder that got lost would take its tests with it without a word.
TEST(Goldens, AreAllThere) { EXPECT_EQ(Golden::checkpoints().size(), 27u); }

}  // namespace
}  // namespace vitrine
