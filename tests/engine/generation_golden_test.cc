// SPDX-License-Identifier: MIT
// What transformers' generate() chooses, recorded by tools/make_generation_goldens.py.

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "engine/logits_processor.h"
#include "tests/engine/golden_support.h"
#include "tests/engine/test_device.h"
#include "tests/run_values.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using Ids = std::vector<int32_t>;

const Json& golden() {
  static const Json kGolden =
      read_json(testing_support::Golden("plain").folder().parent_path() / "generation.json");
  return kGolden;
}

GenerateOptions options_of(const Json& given, int max_new_tokens) {
  GenerateOptions options{.max_new_tokens = max_new_tokens};
  SamplingOptions& s = options.sampling;
  options.min_new_tokens = given.value("min_new_tokens", 0);
  s.temperature = given.value("temperature", 0.0f);
  s.top_k = given.value("top_k", s.top_k);
  s.top_p = given.value("top_p", s.top_p);
  s.min_p = given.value("min_p", s.min_p);
  s.typical_p = given.value("typical_p", s.typical_p);
  s.repetition_penalty = given.value("repetition_penalty", s.repetition_penalty);
  s.presence_penalty = given.value("presence", s.presence_penalty);
  s.frequency_penalty = given.value("frequency", s.frequency_penalty);
  options.stop_ids = given.value("eos_token_id", Ids());
  options.bad_words = given.value("bad_words_ids", std::vector<Ids>());
  return options;
}

class GenerationGolden : public ::testing::Test {
 protected:
  Model model_ = Model::load(testing_support::Golden("plain").folder().string(),
                             testing_support::test_options({.threads = 1}));
  const Ids prompt_ = golden()["prompt"].get<Ids>();
};

TEST_F(GenerationGolden, GreedyChoicesAreTransformers) {
  for (const Json& each : golden()["greedy"]) {
    const GenerateOptions options = options_of(each["options"], 12);
    // Beside another sequence, whose history is another one.
    const Generation found = generate(model_, {prompt_, {1, 2, 3}}, options);
    EXPECT_EQ(found.sequences[0].ids, each["ids"].get<Ids>()) << each["options"].dump();
    EXPECT_EQ(found.sequences[1].ids, generate(model_, {{1, 2, 3}}, options).sequences[0].ids)
        << each["options"].dump();
  }
}

TEST_F(GenerationGolden, AMinimumLengthCountsThePrompt) {
  // Transformers generates the same with min_length as with that many new tokens less the prompt's.
  int cases = 0;
  for (const Json& each : golden()["greedy"]) {
    GenerateOptions options = options_of(each["options"], 12);
    if (options.min_new_tokens == 0) continue;
    ++cases;
    options.min_length =
        std::exchange(options.min_new_tokens, 0) + static_cast<int>(prompt_.size());
    EXPECT_EQ(generate(model_, {prompt_}, options).sequences[0].ids, each["ids"].get<Ids>())
        << each["options"].dump();
    --options.min_length;
    const Ids shorter = generate(model_, {prompt_}, options).sequences[0].ids;
    options.min_length = 0;
    options.min_new_tokens = each["options"]["min_new_tokens"].get<int>() - 1;
    EXPECT_EQ(shorter, generate(model_, {prompt_}, options).sequences[0].ids);
  }
  EXPECT_EQ(cases, 2);
}

TEST_F(GenerationGolden, LogProbabilitiesAreThoseOfTheModel) {
  for (const Json& each : golden()["greedy"]) {
    GenerateOptions options = options_of(each["options"], 12);
    options.log_probabilities = 3;
    const Generation::Sequence found = generate(model_, {prompt_}, options).sequences[0];
    EXPECT_EQ(found.ids, each["ids"].get<Ids>()) << each["options"].dump();
    const auto chosen = each["log_probabilities"].get<std::vector<double>>();
    const auto top = each["top_log_probabilities"].get<std::vector<std::vector<double>>>();
    const auto top_ids = each["top_ids"].get<std::vector<Ids>>();
    ASSERT_EQ(found.log_probabilities.size(), chosen.size());
    ASSERT_EQ(found.top_ids.size(), 3 * chosen.size());
    for (size_t i = 0; i < chosen.size(); ++i) {
      EXPECT_NEAR(found.log_probabilities[i], chosen[i], 1e-4);
      for (size_t k = 0; k < 3; ++k) {
        EXPECT_NEAR(found.top_log_probabilities[3 * i + k], top[i][k], 1e-4);
        EXPECT_EQ(found.top_ids[3 * i + k], top_ids[i][k]) << each["options"].dump();
      }
    }
  }
  GenerateOptions drawn{.max_new_tokens = 8, .sampling = {.temperature = 2, .min_p = 0.01f}};
  const Ids plain = generate(model_, {prompt_}, drawn).sequences[0].ids;
  drawn.log_probabilities = 0;
  const Generation::Sequence watched = generate(model_, {prompt_}, drawn).sequences[0];
  EXPECT_EQ(watched.ids, plain) << "to keep them changes nothing";
  EXPECT_EQ(watched.log_probabilities.size(), plain.size());
  EXPECT_TRUE(watched.top_ids.empty());
}

TEST_F(GenerationGolden, FiltersKeepWhatTransformersKeep) {
  const std::vector<float> logits = testing_support::logits_of(model_.forward(prompt_))
                                        .view()
                                        .slice(std::ssize(prompt_) - 1)
                                        .to_f32();
  for (const Json& each : golden()["filters"]) {
    GenerateOptions options = options_of(each["options"], 1);
    if (options.sampling.temperature == 0) options.sampling.temperature = 1;
    std::vector<float> row = logits;
    const LogitsProcessor processor(options);
    processor.apply(row, prompt_, {});
    Ids kept;
    double total = 0;
    for (size_t id = 0; id < row.size(); ++id) {
      if (row[id] == -INFINITY) continue;
      kept.push_back(static_cast<int32_t>(id));
      total += std::exp(static_cast<double>(row[id]));
    }
    EXPECT_EQ(kept, each["kept"].get<Ids>()) << each["options"].dump();
    const auto p = each["probabilities"].get<std::vector<double>>();
    for (size_t i = 0; i < std::min(p.size(), kept.size()); ++i)
      EXPECT_NEAR(std::exp(static_cast<double>(row[static_cast<size_t>(kept[i])])) / total, p[i],
                  1e-5);
    EXPECT_EQ(processor.remaining().temperature, 1.0f);
    EXPECT_EQ(processor.remaining().top_k, 0) << "the filters have been applied";
  }
}

TEST_F(GenerationGolden, DrawsFollowTheFilteredDistribution) {
  const Json& each = golden()["filters"][4];
  const int draws = testing_support::on_cpu() ? 2000 : 100;
  GenerateOptions options = options_of(each["options"], 1);
  for (uint64_t seed = 0; seed < static_cast<uint64_t>(draws); ++seed)
    options.sampling.seeds.push_back(seed);
  std::map<int32_t, int> counts;
  for (const auto& sequence :
       generate(model_, Batch(static_cast<size_t>(draws), prompt_), options).sequences)
    ++counts[sequence.ids[0]];
  const auto kept = each["kept"].get<Ids>();
  const auto p = each["probabilities"].get<std::vector<double>>();
  double chi = 0;
  int found = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    const int count = counts[kept[i]];
    found += count;
    chi += std::pow(count - draws * p[i], 2) / (draws * p[i]);
  }
  EXPECT_EQ(found, draws) << "tokens that the filters exclude";
  // As in DrawsFollowTheSoftmax: the mean is at most the cells, 5 standard deviations more.
  const auto cells = static_cast<double>(kept.size());
  EXPECT_LE(chi, cells + 5 * std::sqrt(2 * cells));
}

TEST(StopStringsGolden, EndWhereTransformersEnds) {
  const auto root = testing_support::Golden("plain").folder() / "../../..";
  if (!std::filesystem::exists(root / "models/demo/model.safetensors"))
    GTEST_SKIP() << "the bundled model is not there";
  const Model demo =
      Model::load((root / "models/demo").string(), testing_support::test_options({.threads = 1}));
  const Json& texts = golden()["texts"];
  const size_t count = testing_support::on_cpu() ? texts.size() : 2;  // an emulated GPU is slow
  for (size_t i = 0; i < count; ++i) {
    const Json& each = texts[i];
    const auto prompt = each["prompt"].get<Ids>();
    GenerateOptions options{.max_new_tokens = 24,
                            .stop_strings = each["stop_strings"].get<std::vector<std::string>>()};
    const Generation::Sequence found = generate(demo, {prompt}, options).sequences[0];
    EXPECT_EQ(found.ids, each["ids"].get<Ids>()) << each["stop_strings"].dump();
    EXPECT_EQ(demo.tokenizer().decode(found.ids), each["text"].get<std::string>());
    EXPECT_EQ(found.reason == StopReason::kStopString, found.ids.size() < 24)
        << each["stop_strings"].dump();
  }
}

TEST_F(GenerationGolden, BeamsAreTransformers) {
  const Json& all = golden()["beams"];
  const auto prompt = all["prompt"].get<Ids>();
  for (const Json& each : all["cases"]) {
    const Json& given = each["options"];
    BeamOptions beams{.beams = given["num_beams"].get<int>(),
                      .results = given.value("num_return_sequences", 1),
                      .length_penalty = given.value("length_penalty", 1.0f)};
    if (given.contains("early_stopping"))
      beams.end = given["early_stopping"].is_boolean() ? BeamEnd::kFull : BeamEnd::kNever;
    const std::vector<Beam> found = beam_search(model_, prompt, options_of(given, 10), beams);
    ASSERT_EQ(found.size(), each["beams"].size()) << given.dump();
    for (size_t i = 0; i < found.size(); ++i) {
      const Json& wanted = each["beams"][i];
      EXPECT_EQ(found[i].ids, wanted["ids"].get<Ids>()) << given.dump() << ", result " << i;
      if (wanted.contains("score")) {
        EXPECT_NEAR(found[i].score, wanted["score"].get<double>(), 1e-4) << given.dump();
      }
      EXPECT_EQ(found[i].reason == StopReason::kLength, found[i].ids.size() == 10) << given.dump();
    }
  }
}

TEST_F(GenerationGolden, OneBeamIsGreedyUnderEdits) {
  const Hooks edits =
      Hooks().edit("blocks.0.hook_mlp_out", zero()).edit("blocks.1.attn.hook_z", scale(2));
  const GenerateOptions options{.max_new_tokens = 14};
  EXPECT_EQ(beam_search(model_, prompt_, options, {.beams = 1}, edits)[0].ids,
            generate(model_, {prompt_}, options, edits).sequences[0].ids);
}

TEST_F(GenerationGolden, BeamSearchRejectsInvalidOptions) {
  const auto refused = [&](const GenerateOptions& options, const BeamOptions& beams,
                           const Hooks& hooks = {}) {
    return test::user_error_of([&] { beam_search(model_, prompt_, options, beams, hooks); });
  };
  const auto expect = [](const std::string& line, const std::string& words) {
    EXPECT_NE(line.find(words), std::string::npos) << line;
  };
  const GenerateOptions usual{.max_new_tokens = 4};
  expect(refused(usual, {.beams = 0}), "beams 0 is out of range");
  expect(refused(usual, {.beams = 2, .results = 3}), "results 3 is out of range: expected 1..2");
  expect(refused(usual, {.length_penalty = NAN}), "length_penalty nan");
  expect(refused({.max_new_tokens = 4, .sampling = {.temperature = 1}}, {}), "temperature 1");
  expect(refused({.max_new_tokens = 16}, {}),
         "2 tokens of prompt 0 and 16 new ones exceed the context of 16");
  expect(refused(usual, {}, Hooks().capture("hook_embed")), "'hook_embed' is captured");
  expect(refused(usual, {}, Hooks().edit("hook_embed", zero(), {.sequences = {0}})),
         "single sequences");
}

TEST_F(GenerationGolden, SaysWhatIsDoneOnTheHost) {
  GenerateOptions options{.max_new_tokens = 4, .sampling = {.frequency_penalty = 1}};
  const std::string reason = generate(model_, {prompt_}, options).eager_because;
  EXPECT_NE(reason.find(testing_support::on_cpu() ? "cpu" : "frequency_penalty"), std::string::npos)
      << reason;
}

TEST_F(GenerationGolden, RejectsInvalidOptions) {
  const auto refused = [&](GenerateOptions options) {
    options.max_new_tokens = std::min(options.max_new_tokens, 12);  // the context has room
    return test::user_error_of([&] { generate(model_, {prompt_}, options); });
  };
  const auto expect = [&](const GenerateOptions& options, const std::string& words) {
    EXPECT_NE(refused(options).find(words), std::string::npos) << refused(options);
  };
  expect({.sampling = {.min_p = 1.5f}}, "min_p 1.5 is out of range");
  expect({.sampling = {.min_p = -0.1f}}, "min_p -0.1 is out of range");
  expect({.sampling = {.typical_p = 0}}, "typical_p 0 is out of range");
  expect({.sampling = {.repetition_penalty = 0}}, "repetition_penalty 0 is out of range");
  expect({.sampling = {.presence_penalty = NAN}}, "presence_penalty nan is out of range");
  expect({.sampling = {.frequency_penalty = INFINITY}}, "frequency_penalty inf is out of range");
  expect({.max_new_tokens = 3, .min_new_tokens = 4}, "min_new_tokens 4 is out of range");
  expect({.max_new_tokens = 3, .min_length = 6},
         "min_length 6 is out of range: expected 0..5, prompt 0 with all new tokens");
  expect({.max_new_tokens = 3, .min_length = -1}, "min_length -1 is out of range");
  expect({.min_new_tokens = 1, .min_length = 3}, "both `min_length` 3 and `min_new_tokens` 1");
  expect({.bad_words = {{}}}, "bad word 0 is empty");
  expect({.bad_words = {{1}, {2, 131}}}, "id in bad_words 131 is out of range: expected 0..130");
  expect({.stop_ids = {7}, .bad_words = {{5}, {7}}}, "bad word 1 is the stop id 7");
  expect({.log_probabilities = -1}, "log_probabilities -1 is out of range");
  expect({.stop_strings = {"a", ""}}, "stop string 1 is empty");
  expect({.stop_strings = {"a"}}, "tokenizer");
  GenerateOptions all;
  for (int32_t id = 0; id < 131; ++id) all.bad_words.push_back({id});
  expect(all, "no token is left at new token 0");
  expect({.sampling = {.repetition_penalty = 1e-38f}}, "a penalty makes a logit infinite");
}

}  // namespace
}  // namespace vitrine
