// SPDX-License-Identifier: MIT
#include "vitrine/generate.h"

#include <cmath>
#include <cstring>
#include <map>

#include "tests/engine/test_device.h"
#include "tests/run_values.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

Config small_config() {
  Config config;
  config.layers = 2;
  config.heads = 2;
  config.width = 32;
  config.inner = 64;
  config.vocab = 61;
  config.context = 24;
  return config;
}

class Generate : public ::testing::Test {
 protected:
  std::vector<int32_t> continued(const std::vector<int32_t>& prompt, const GenerateOptions& options,
                                 const Hooks& hooks = {}) {
    return generate(model_, {prompt}, options, hooks).sequences[0].ids;
  }
  /// Greedy choice by one full pass for each token: no cache, no generator.
  std::vector<int32_t> recomputed(std::vector<int32_t> ids, int count, const Hooks& hooks = {}) {
    const size_t prompt = ids.size();
    for (int i = 0; i < count; ++i) {
      const vitrine::Run run = model_.forward(ids, hooks);
      const std::vector<float> last =
          run.logits().slice(static_cast<int64_t>(ids.size()) - 1).to_f32();
      ids.push_back(
          static_cast<int32_t>(std::max_element(last.begin(), last.end()) - last.begin()));
    }
    return {ids.begin() + static_cast<int64_t>(prompt), ids.end()};
  }
  Model model_ = Model::random(small_config(), 5, testing_support::test_options({.threads = 1}));
  const std::vector<int32_t> prompt_ = {4, 8, 15, 16, 23, 42};
};

/// A callback that changes nothing makes every step be issued anew.
Hooks issued(Hooks hooks) {
  return hooks.edit("hook_embed", callback([](EditView&) {}));
}

void expect_same(const Generation& a, const Generation& b) {
  ASSERT_EQ(a.sequences.size(), b.sequences.size());
  for (size_t s = 0; s < a.sequences.size(); ++s) {
    EXPECT_EQ(a.sequences[s].ids, b.sequences[s].ids) << "sequence " << s;
    EXPECT_EQ(a.sequences[s].reason, b.sequences[s].reason) << "sequence " << s;
  }
  ASSERT_EQ(a.captures->entries().size(), b.captures->entries().size());
  for (const Captures::Entry& entry : a.captures->entries()) {
    const Captures::Entry& other = b.captures->entry(entry.name);
    for (size_t s = 0; s < entry.sequences.size(); ++s) {
      EXPECT_EQ(entry.sequences[s].positions, other.sequences[s].positions)
          << entry.name << ", sequence " << s;
      EXPECT_EQ(entry.sequences[s].values.to_f32(), other.sequences[s].values.to_f32())
          << entry.name << ", sequence " << s;
    }
  }
}

TEST_F(Generate, GreedyIsTheArgmaxOfFullPasses) {
  EXPECT_EQ(continued(prompt_, {.max_new_tokens = 12}), recomputed(prompt_, 12));
  EXPECT_EQ(continued({1}, {.max_new_tokens = 23}), recomputed({1}, 23));
}

TEST_F(Generate, APositionThatNeverOccursIsRefused) {
  const auto captured = [&](Indices<int64_t> positions) {
    const Generation found = generate(model_, {prompt_}, {.max_new_tokens = 4},
                                      Hooks().capture("hook_embed", {.positions = positions}));
    return found.captures->entry("hook_embed").sequences[0].positions;
  };
  // 6 prompt tokens and 3 new ones are read; the fourth is not.
  EXPECT_EQ(captured({8}), (std::vector<int64_t>{8}));
  EXPECT_EQ(captured({-6}), (std::vector<int64_t>{0}));
  EXPECT_EQ(captured({-1}), (std::vector<int64_t>{5, 6, 7, 8}));
  Indices<int64_t> from_fifth;
  from_fifth.add_range(4, -1);
  EXPECT_EQ(captured(from_fifth), (std::vector<int64_t>{4, 5, 6, 7, 8}));
  EXPECT_USER_ERROR(captured({9}), "position 9", "hook_embed", "never occurs", "-6..8");
  EXPECT_USER_ERROR(captured({-7}), "position -7", "never occurs");
  EXPECT_USER_ERROR(generate(model_, {prompt_, {1, 2}}, {.max_new_tokens = 1},
                             Hooks().edit("hook_embed", zero(), {.positions = {3}})),
                    "position 3", "sequence 1", "2 prompt tokens");
  // The context ends the generation.
  EXPECT_USER_ERROR(
      generate(model_, {prompt_}, {.max_new_tokens = 100, .past_context = PastContext::kEnd},
               Hooks().capture("hook_embed", {.positions = {24}})),
      "position 24", "-6..23");
}

TEST_F(Generate, EditsActOnPromptAndNewTokensAlike) {
  const Hooks hooks = Hooks()
                          .edit("blocks.0.hook_mlp_out", zero())
                          .edit("blocks.1.attn.hook_z", scale(-1), {.heads = {1}});
  const std::vector<int32_t> edited = continued(prompt_, {.max_new_tokens = 10}, hooks);
  EXPECT_EQ(edited, recomputed(prompt_, 10, hooks));
  EXPECT_NE(edited, continued(prompt_, {.max_new_tokens = 10})) << "the edits should show";
}

TEST_F(Generate, EditsOfGeneratedTokensBeginAfterEachPrompt) {
  using Tokens = Where::Tokens;
  const Batch prompts = {prompt_, {7, 3}};
  const auto continuations = [&](const Hooks& hooks) {
    std::vector<std::vector<int32_t>> ids;
    for (const auto& sequence : generate(model_, prompts, {.max_new_tokens = 8}, hooks).sequences)
      ids.push_back(sequence.ids);
    return ids;
  };
  const auto edited = [&](Where where) {
    return Hooks().edit("blocks.0.hook_mlp_out", scale(-3), std::move(where));
  };
  const auto plain = continuations({});
  const auto generated = continuations(edited({.tokens = Tokens::kGenerated}));
  const auto prompt = continuations(edited({.tokens = Tokens::kPrompt}));
  // Each alone, by positions.
  for (size_t s = 0; s < prompts.size(); ++s) {
    const auto length = static_cast<int64_t>(prompts[s].size());
    Indices<int64_t> after, within;
    after.add_range(length, -1);
    within.add_range(0, length - 1);
    const GenerateOptions options{.max_new_tokens = 8};
    EXPECT_EQ(generated[s], continued(prompts[s], options, edited({.positions = after})));
    EXPECT_EQ(prompt[s], continued(prompts[s], options, edited({.positions = within})));
    EXPECT_EQ(generated[s][0], plain[s][0]) << "which only the prompt decides";
  }
  const auto beams = beam_search(model_, prompt_, {.max_new_tokens = 8}, {.beams = 1},
                                 edited({.tokens = Tokens::kGenerated}));
  EXPECT_EQ(beams[0].ids, generated[0]) << "one beam is the greedy choice";
  EXPECT_NE(generated, plain);
  EXPECT_NE(prompt, plain);
  const auto one = continuations(edited({.sequences = {1}, .tokens = Tokens::kGenerated}));
  EXPECT_EQ(one[0], plain[0]);
  EXPECT_EQ(one[1], generated[1]);
}

TEST_F(Generate, TokensOfAGenerationAreRefusedElsewhere) {
  const Hooks hooks = Hooks().edit("hook_embed", zero(), {.tokens = Where::Tokens::kGenerated});
  EXPECT_USER_ERROR(model_.forward(prompt_, hooks), "'hook_embed'",
                    "expected an edit of a generation");
  const Hooks both =
      Hooks().edit("hook_embed", zero(), {.positions = {1}, .tokens = Where::Tokens::kPrompt});
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {}, both), "positions and tokens");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.past_context = PastContext::kSlide}, hooks),
                    "the window slides", "`past_context` end");
}

TEST_F(Generate, ASequenceDrawsTheSameAloneAsInABatch) {
  const Batch prompts = {prompt_, {1, 2}, {60}, {9, 9, 9, 9, 9, 9, 9, 9, 9}};
  const GenerateOptions options{
      .max_new_tokens = 9,
      .sampling = {.temperature = 1.3f, .top_k = 20, .top_p = 0.9f, .seed = 99}};
  const Generation together = generate(model_, prompts, options);
  for (size_t s = 0; s < prompts.size(); ++s)
    EXPECT_EQ(together.sequences[s].ids, continued(prompts[s], options)) << s;
}

TEST_F(Generate, EqualPromptsAreReadOnceWithTheSameResults) {
  const Batch prompts = {prompt_, {1, 2}, prompt_, prompt_, {1, 2}, {60}};
  const GenerateOptions options{.max_new_tokens = 7,
                                .sampling = {.temperature = 1.5f, .seeds = {1, 2, 3, 4, 5, 6}}};
  const Generation shared = generate(model_, prompts, options),
                   apart = generate(model_, prompts, options, Hooks().capture("hook_embed"));
  for (size_t s = 0; s < prompts.size(); ++s) {
    EXPECT_EQ(shared.sequences[s].ids, apart.sequences[s].ids) << s;
    const GenerateOptions one{.max_new_tokens = 7,
                              .sampling = {.temperature = 1.5f, .seed = s + 1}};
    EXPECT_EQ(shared.sequences[s].ids, continued(prompts[s], one)) << s;
  }
  EXPECT_NE(shared.sequences[0].ids, shared.sequences[2].ids) << "the seeds differ";
  // An edit of one sequence keeps it apart from its equals.
  const Hooks first = Hooks().edit("blocks.0.hook_mlp_out", zero(), {.sequences = {0}});
  const Generation edited = generate(model_, prompts, {.max_new_tokens = 7}, first);
  EXPECT_EQ(edited.sequences[2].ids, continued(prompt_, {.max_new_tokens = 7}));
  EXPECT_EQ(edited.sequences[0].ids, continued(prompt_, {.max_new_tokens = 7},
                                               Hooks().edit("blocks.0.hook_mlp_out", zero())));
}

TEST_F(Generate, SeedsDecide) {
  const GenerateOptions one{.max_new_tokens = 12, .sampling = {.temperature = 1.5f, .seed = 1}};
  GenerateOptions two = one;
  two.sampling.seed = 2;
  EXPECT_EQ(continued(prompt_, one), continued(prompt_, one));
  EXPECT_NE(continued(prompt_, one), continued(prompt_, two));
  const GenerateOptions each{.max_new_tokens = 12,
                             .sampling = {.temperature = 1.5f, .seeds = {2, 1}}};
  const Generation both = generate(model_, {prompt_, prompt_}, each);
  EXPECT_EQ(both.sequences[0].ids, continued(prompt_, two));
  EXPECT_EQ(both.sequences[1].ids, continued(prompt_, one));
}

TEST_F(Generate, DrawsFollowTheSoftmax) {
  // First tokens against the model's own probabilities: a chi-square over the tokens expected at
  // least 5 times. Its mean is the degrees of freedom k and its standard deviation sqrt(2k); 5 of
  // these are never passed by chance.
  const std::vector<float> logits =
      testing_support::logits_of(model_.forward(prompt_)).view().slice(5).to_f32();
  const float temperature = 2.0f;
  double total = 0;
  std::vector<double> p;
  for (float logit : logits) p.push_back(std::exp(logit / temperature));
  for (double x : p) total += x;
  const int draws = testing_support::on_cpu() ? 4000 : 400;  // a GPU emulated by the CPU is slow
  GenerateOptions options{.max_new_tokens = 1, .sampling = {.temperature = temperature}};
  for (uint64_t seed = 0; seed < static_cast<uint64_t>(draws); ++seed)
    options.sampling.seeds.push_back(seed);
  std::map<int32_t, int> counts;
  for (const auto& sequence :
       generate(model_, Batch(static_cast<size_t>(draws), prompt_), options).sequences)
    ++counts[sequence.ids[0]];
  double chi = 0;
  int cells = 0;
  for (size_t id = 0; id < p.size(); ++id) {
    const double expected = draws * p[id] / total;
    if (expected < 5) continue;
    chi += std::pow(counts[static_cast<int32_t>(id)] - expected, 2) / expected;
    ++cells;
  }
  ASSERT_GE(cells, 10) << "the distribution is too peaked to test";
  EXPECT_LE(chi, cells + 5 * std::sqrt(2.0 * cells));
}

TEST_F(Generate, CapturesCoverEveryPositionThatWasRead) {
  const Hooks hooks = Hooks()
                          .capture("blocks.1.hook_resid_post")
                          .capture("blocks.0.attn.hook_pattern")
                          .capture("blocks.0.attn.hook_attn_scores", {}, DType::kF16)
                          .capture("blocks.1.mlp.hook_post", {.positions = {-1}});
  const Batch prompts = {prompt_, {7, 7}};
  const Generation generation = generate(model_, prompts, {.max_new_tokens = 6}, hooks);
  for (size_t s = 0; s < prompts.size(); ++s) {
    std::vector<int32_t> read = prompts[s];  // the last new token is chosen but never read
    read.insert(read.end(), generation.sequences[s].ids.begin(),
                generation.sequences[s].ids.end() - 1);
    const vitrine::Run whole = model_.forward(read, Hooks().capture("*"));
    const int sequence = static_cast<int>(s);
    for (const char* site : {"blocks.1.hook_resid_post", "blocks.0.attn.hook_pattern"}) {
      const TensorView stepwise = generation.captures->view(site, sequence);
      ASSERT_EQ(stepwise.shape(), whole[site].shape()) << site;
      if (std::string(site).find("pattern") == std::string::npos) {
        EXPECT_EQ(stepwise.to_f32(), whole[site].to_f32()) << site;
      } else {
        EXPECT_EQ(stepwise.to_f32(), whole[site].to_f32()) << site << ": unseen keys are 0";
      }
    }
    // The first query's last key did not exist yet when its row was computed.
    EXPECT_EQ(generation.captures->view("blocks.0.attn.hook_attn_scores", sequence)
                  .slice(0)
                  .slice(0)
                  .to_f32()
                  .back(),
              -std::numeric_limits<float>::infinity());
    // {-1} is the newest token of every pass: the prompt's last, then each new one.
    EXPECT_EQ(generation.captures->entry("blocks.1.mlp.hook_post").sequences[s].positions.size(),
              6u);
    EXPECT_EQ(generation.captures->entry("blocks.1.mlp.hook_post").sequences[s].positions[0],
              static_cast<int64_t>(prompts[s].size()) - 1);
  }
}

TEST_F(Generate, WatchingAndMapsOfSeveralSequencesChangeNothing) {
  const Batch prompts = {prompt_, {7, 7}, {1, 2, 3}};
  const GenerateOptions options{.max_new_tokens = 6, .sampling = {.temperature = 1, .seed = 4}};
  const Generation plain = generate(model_, prompts, options),
                   watched = generate(model_, prompts, options, Hooks().capture("*"));
  for (size_t s = 0; s < prompts.size(); ++s) {
    EXPECT_EQ(plain.sequences[s].ids, watched.sequences[s].ids);
    const Generation alone = generate(model_, {prompts[s]}, options, Hooks().capture("*"));
    for (const Captures::Entry& entry : alone.captures->entries()) {
      EXPECT_EQ(alone.captures->view(entry.name).to_f32(),
                watched.captures->view(entry.name, static_cast<int>(s)).to_f32())
          << entry.name << ", " << s;
    }
  }
}

TEST_F(Generate, EndsForTheReasonItGives) {
  const std::vector<int32_t> greedy = continued(prompt_, {.max_new_tokens = 8});
  const Generation at_length = generate(model_, {prompt_}, {.max_new_tokens = 8});
  EXPECT_EQ(at_length.sequences[0].reason, StopReason::kLength);

  const Generation at_stop =
      generate(model_, {prompt_}, {.max_new_tokens = 8, .stop_ids = {greedy[2]}});
  EXPECT_EQ(at_stop.sequences[0].reason, StopReason::kStopId);
  EXPECT_EQ(at_stop.sequences[0].ids.back(), greedy[2]);
  EXPECT_LE(at_stop.sequences[0].ids.size(), 3u);

  const Generation at_context =
      generate(model_, {prompt_}, {.max_new_tokens = 500, .past_context = PastContext::kEnd});
  EXPECT_EQ(at_context.sequences[0].reason, StopReason::kContext);
  EXPECT_EQ(at_context.sequences[0].ids.size(), 24u - 6 + 1)
      << "the token after a full context is still chosen";

  int seen = 0;
  const Generation stopped =
      generate(model_, {prompt_},
               {.max_new_tokens = 8, .on_token = [&](int, int32_t) { return ++seen < 3; }});
  EXPECT_EQ(stopped.sequences[0].ids.size(), 3u);
  EXPECT_EQ(stopped.sequences[0].reason, StopReason::kCallback);
}

TEST_F(Generate, MoreNewTokensThanTheContextHasRoomForAreRejected) {
  int seen = 0;
  GenerateOptions options{.max_new_tokens = 19,
                          .on_token = [&](int, int32_t) { return ++seen > 0; }};
  EXPECT_EQ(generate(model_, {prompt_}, options).sequences[0].ids.size(), 19u);
  seen = 0;
  options.max_new_tokens = 20;
  EXPECT_USER_ERROR(generate(model_, {{1, 2}, prompt_}, options), "the 6 tokens of prompt 1",
                    "20 new ones", "context of 24", "at most 19 new tokens", "past_context");
  EXPECT_EQ(seen, 0) << "nothing is generated before";
}

TEST_F(Generate, ASlidingWindowGoesOnFromItsNewestHalf) {
  const Batch prompts = {prompt_, {1, 2}};
  const GenerateOptions options{.max_new_tokens = 45, .past_context = PastContext::kSlide};
  const Generation found = generate(model_, prompts, options);
  for (size_t s = 0; s < prompts.size(); ++s) {
    std::vector<int32_t> all = prompts[s], window = prompts[s];
    while (all.size() < prompts[s].size() + 45) {  // each token by a pass over its window
      const int32_t next = recomputed(window, 1)[0];
      all.push_back(next);
      window.push_back(next);
      if (window.size() > 24) window.erase(window.begin(), window.end() - 12);
    }
    all.erase(all.begin(), all.begin() + std::ssize(prompts[s]));
    EXPECT_EQ(found.sequences[s].ids, all) << s;
    EXPECT_EQ(found.sequences[s].reason, StopReason::kLength);
  }
  GenerateOptions watched = options;  // a callback looks at each token
  int calls = 0;
  watched.on_token = [&](int, int32_t) { return ++calls > 0; };
  expect_same(found, generate(model_, prompts, watched));
  expect_same(found, generate(model_, prompts, options, issued({})));
  EXPECT_USER_ERROR(generate(model_, prompts, options, Hooks().capture("hook_embed")),
                    "'hook_embed' is captured", "past_context");
}

TEST_F(Generate, NoNewTokensStillReadsThePrompt) {
  const Generation generation =
      generate(model_, {prompt_}, {.max_new_tokens = 0}, Hooks().capture("hook_embed"));
  EXPECT_TRUE(generation.sequences[0].ids.empty());
  EXPECT_EQ(generation.captures->view("hook_embed").shape()[0], 6);
}

TEST_F(Generate, BadOptionsAreRefusedByName) {
  EXPECT_USER_ERROR(generate(model_, {}, {}), "missing prompt");
  EXPECT_USER_ERROR(generate(model_, {{}}, {}), "sequence 0", "empty");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.max_new_tokens = -1}), "max_new_tokens -1");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.sampling = {.temperature = -1}}),
                    "temperature -1");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.sampling = {.temperature = NAN}}),
                    "temperature nan");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.sampling = {.top_k = -3}}), "top_k -3");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.sampling = {.top_p = 0}}), "top_p 0");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.sampling = {.seeds = {1, 2}}}), "2 seeds",
                    "1 sequences");
  EXPECT_USER_ERROR(generate(model_, {prompt_}, {.stop_ids = {61}}), "stop id 61", "0..60");
  EXPECT_USER_ERROR(generate(model_, {std::vector<int32_t>(25, 1)}, {}), "25 tokens",
                    "expected at most 24");
}

TEST_F(Generate, ASessionCanBeCutBackAndContinued) {
  Session session = model_.session(1, 10);
  session.forward({prompt_});
  session.truncate(0, 3);
  EXPECT_EQ(session.length(0), 3);
  const vitrine::Run after = session.forward({{50, 51}});
  const vitrine::Run whole = model_.forward(std::vector<int32_t>{4, 8, 15, 50, 51});
  EXPECT_EQ(after.logits().slice(1).to_f32(), whole.logits().slice(4).to_f32());
  EXPECT_EQ(after.sequence(0).past, 3);
}

// On a CPU both are issued; a GPU records one step and replays it.
TEST_F(Generate, RecordedStepsGiveWhatIssuedStepsGive) {
  const Batch prompts = {prompt_,
                         {1, 2},
                         {60},
                         {9, 9, 9, 9, 9, 9, 9, 9, 9}};  // the last runs into the end of the context
  Hooks hooks = Hooks()
                    .capture("blocks.*.hook_resid_{pre,post}")
                    .capture("blocks.1.attn.hook_z", {.positions = {-1}, .heads = {1}}, DType::kF16)
                    .capture("logits", {.sequences = {0, 3}})
                    .edit("blocks.0.mlp.hook_post", scale(0.5f), {.neurons = {3, 4, 5, 60}})
                    .edit("blocks.1.hook_attn_out", add(Tensor::from(std::vector<float>{0.25f})),
                          {.positions = {-1}});
  GenerateOptions options{.max_new_tokens = 20,
                          .sampling = {.temperature = 0.8f, .top_k = 30, .top_p = 0.95f, .seed = 7},
                          .past_context = PastContext::kEnd};
  const Generation plain = generate(model_, prompts, options, hooks);
  EXPECT_EQ(plain.eager_because.empty(), !testing_support::on_cpu()) << plain.eager_because;
  expect_same(plain, generate(model_, prompts, options, issued(hooks)));
  // Stop ids end sequences one after the other, and each token is looked at as it comes.
  options.stop_ids = {plain.sequences[0].ids[4], plain.sequences[1].ids[7]};
  expect_same(generate(model_, prompts, options, hooks),
              generate(model_, prompts, options, issued(hooks)));
  int calls = 0;
  options.stop_ids.clear();
  options.on_token = [&](int, int32_t) { return ++calls % 17 != 0; };
  const Generation stopped = generate(model_, prompts, options, hooks);
  expect_same(stopped, generate(model_, prompts, options, issued(hooks)));
  EXPECT_EQ(stopped.sequences[0].reason, StopReason::kCallback);
}

TEST_F(Generate, SaysWhyStepsAreIssued) {
  const auto reason = [&](const Hooks& hooks) {
    return generate(model_, {prompt_}, {.max_new_tokens = 5}, hooks).eager_because;
  };
  if (testing_support::on_cpu()) {
    EXPECT_NE(reason({}).find("cpu"), std::string::npos);
    return;
  }
  EXPECT_EQ(reason({}), "");
  EXPECT_NE(reason(Hooks().edit("blocks.1.attn.hook_z", callback([](EditView&) {})))
                .find("blocks.1.attn.hook_z is edited by a callback"),
            std::string::npos);
  EXPECT_NE(
      reason(Hooks().capture("blocks.0.attn.hook_pattern")).find("blocks.0.attn.hook_pattern"),
      std::string::npos);
  EXPECT_NE(reason(Hooks().edit("blocks.0.attn.hook_attn_scores", scale(1))).find("map"),
            std::string::npos);
  EXPECT_NE(reason(Hooks().capture("logits", {.positions = {2}})).find("positions"),
            std::string::npos);
  std::vector<int> some;  // too many to be noted, and unevenly spaced
  for (int s = 0; s < 80; ++s) some.push_back(s + s / 7);
  const Hooks narrowed = Hooks().capture("hook_embed", {.sequences = some});
  EXPECT_NE(generate(model_, Batch(100, prompt_), {.max_new_tokens = 5}, narrowed)
                .eager_because.find("80 sequences"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrine
