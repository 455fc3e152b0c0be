// SPDX-License-Identifier: MIT
// An edit of any site reaches every analysis as a full run shows it, or is rejected by name.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "corpus_support.h"
#include "vitrine/vitrine.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr size_t kTokens = 9;

/// x_i (1 + sin(i) / 2): no layernorm, centring or normalisation takes it back.
Edit uneven() {
  const auto change = [](EditView& view) {
    for (size_t i = 0; i < view.values.size(); ++i) {
      const auto at = static_cast<double>(i % static_cast<size_t>(view.width));
      view.values[i] *= static_cast<float>(1 + std::sin(at + 1) / 2);
    }
  };
  return callback(change, change);
}

void append(std::vector<double>& to, const auto& values) {
  to.insert(to.end(), values.begin(), values.end());
}

/// An analysis with the sites that it reads, as globs, and all that it finds.
struct Analysis {
  std::string name;
  std::vector<std::string> reads;
  std::function<std::vector<double>(const Model&, const Hooks&)> find;
  bool written = false;  ///< the edits are written to a file, so callbacks are rejected
};

std::vector<double> of_lens(const Lens& found) {
  std::vector<double> values;
  append(values, found.target_log_probs);
  append(values, found.entropies);
  append(values, found.kl);
  return values;
}

Analysis lens_of(const std::string& name, LensMode mode, LensSource source,
                 std::vector<std::string> reads) {
  return {name, std::move(reads), [=](const Model& model, const Hooks& edits) {
            LensOptions options{.mode = mode, .of = source, .kl = true, .edits = edits};
            if (mode == LensMode::kTuned) {
              TunedLens tuned;
              tuned.width = 24;
              for (int layer = 0; layer < 3; ++layer) {
                tuned.weights.emplace_back(DType::kF32, Shape{24, 24});
                tuned.biases.emplace_back(DType::kF32, Shape{24});
                std::fill(tuned.biases.back().f32().begin(), tuned.biases.back().f32().end(), 0.1f);
              }
              options.tuned = tuned;
            }
            return of_lens(lens(model, some_ids(kTokens), options));
          }};
}

Analysis saliency_of(const std::string& name, SaliencyMethod method) {
  return {name, {"logits"}, [=](const Model& model, const Hooks& edits) {
            SaliencyOptions options;
            options.method = method;
            options.value = SaliencyValue::kLogProb;
            options.integrated.steps = 3;
            options.smooth.samples = 2;
            options.spans.draws = 2;
            options.target = 5;
            options.edits = edits;
            const Saliency found = saliency(model, some_ids(kTokens), options);
            std::vector<double> values = {found.steps[0].log_prob};
            append(values, found.scores);
            return values;
          }};
}

std::vector<double> of_file(const std::filesystem::path& path, const std::string& site) {
  std::vector<double> values;
  append(values, SafetensorsFile(path).tensor(site).to_f32());
  return values;
}

std::vector<Analysis> representations() {
  const Batch texts = {some_ids(kTokens), some_ids(7, 2), some_ids(8, 3)};
  return {
      {"similarity",
       {"blocks.*.hook_resid_post"},
       [=](const Model& model, const Hooks& edits) {
         return similarity(model, texts, {.edits = edits}).values;
       }},
      {"concept",
       {"blocks.1.hook_mlp_out"},
       [=](const Model& model, const Hooks& edits) {
         ConceptOptions options;
         options.site = "blocks.1.hook_mlp_out";
         options.edits = edits;
         return concept_directions(model, {texts[0], texts[1]}, {texts[2], some_ids(6, 4)},
                                   options)[0]
             .direction;
       }},
      {"factors",
       {"blocks.*.mlp.hook_post"},
       [=](const Model& model, const Hooks& edits) {
         FactorOptions options;
         options.components = 2;
         options.max_iterations = 5;
         options.edits = edits;
         return factors(model, texts, options).strengths;
       }},
      {"predictivity",
       {"blocks.0.hook_resid_mid", "blocks.1.attn.hook_q"},
       [=](const Model& model, const Hooks& edits) {
         const Stimuli stimuli{.ids = texts, .groups = {"a", "a", "b"}};
         FeatureOptions options;
         options.sites = {"blocks.0.hook_resid_mid", "blocks.1.attn.hook_q"};
         options.context = StimulusContext::kNone;
         options.edits = edits;
         std::vector<double> values;
         for (const auto& site : stimulus_features(model, stimuli, options).sites)
           append(values, site.values.view().to_f32());
         return values;
       }},
      {"capture",
       {"blocks.1.hook_attn_out"},
       [=](const Model& model, const Hooks& edits) {
         const TempFolder folder;
         Hooks hooks = edits;
         capture_to_file(model, texts, hooks.capture("blocks.1.hook_attn_out"),
                         folder / "c.safetensors");
         return of_file(folder / "c.safetensors", "blocks.1.hook_attn_out");
       }},
      {"corpus",
       {"blocks.1.hook_attn_out"},
       [](const Model& model, const Hooks& edits) {
         const TempFolder folder;
         Hooks hooks = edits;
         const auto found =
             capture_corpus(model, windows_of(model, ids_corpus(folder, 12)),
                            hooks.capture("blocks.1.hook_attn_out"), folder / "shards");
         return of_file(found.folder / "shard-000000.safetensors", "blocks.1.hook_attn_out");
       },
       true},
      {"covariance",
       {"blocks.1.hook_attn_out"},
       [](const Model& model, const Hooks& edits) {
         const TempFolder folder;
         Hooks hooks = edits;
         const auto found = corpus_moments(model, windows_of(model, ids_corpus(folder, 12)),
                                           hooks.capture("blocks.1.hook_attn_out"));
         return found.sites[0].moments.covariance().values;
       },
       true},
  };
}

std::vector<Analysis> attentions() {
  const std::vector<std::string> maps = {"blocks.*.attn.hook_pattern"};
  return {
      {"attention maps", maps,
       [](const Model& model, const Hooks& edits) {
         const AttentionMaps found = attention(model, some_ids(kTokens), {.edits = edits});
         std::vector<double> values;
         for (size_t layer = 0; layer < 3; ++layer) append(values, found.map(layer, 1));
         return values;
       }},
      {"attention rollout", maps,
       [](const Model& model, const Hooks& edits) {
         return attention_rollout(model, some_ids(kTokens), {.edits = edits}).values;
       }},
      {"attention flow", maps,
       [](const Model& model, const Hooks& edits) {
         AttentionFlowOptions options;
         options.layers = {-1};
         options.edits = edits;
         return attention_flow(model, some_ids(kTokens), options).values;
       }},
      {"attention heads", maps,
       [](const Model& model, const Hooks& edits) {
         return head_statistics(model, {some_ids(kTokens)}, {.edits = edits}).entropy;
       }},
      {"repetition", maps,
       [](const Model& model, const Hooks& edits) {
         RepetitionOptions options{.sequences = 1, .length = 4};
         options.edits = edits;
         return repetition_scores(model, options).induction;
       }},
  };
}

std::vector<Analysis> analyses() {
  const std::vector<std::string> stream = {"blocks.0.hook_resid_pre", "blocks.*.hook_resid_post",
                                           "logits"};
  std::vector<Analysis> all = {
      lens_of("lens", LensMode::kNormalized, LensSource::kResidual, stream),
      lens_of("ecco lens", LensMode::kEcco, LensSource::kResidual, stream),
      lens_of("tuned lens", LensMode::kTuned, LensSource::kResidual, stream),
      lens_of("attention lens", LensMode::kNormalized, LensSource::kAttention,
              {"blocks.*.hook_attn_out", "logits"}),
      lens_of("mlp lens", LensMode::kNormalized, LensSource::kMlp,
              {"blocks.*.hook_mlp_out", "logits"}),
      {"rankings", stream,
       [](const Model& model, const Hooks& edits) {
         return of_lens(
             rankings(model, some_ids(5), {.max_new_tokens = 3}, {.kl = true, .edits = edits}));
       }},
      {"lens fit",
       {"blocks.*.hook_resid_pre", "blocks.2.hook_resid_post"},
       [](const Model& model, const Hooks& edits) {
         uint64_t text = 0;
         const auto fit = fit_tuned_lens(
             model,
             [&]() -> std::optional<std::vector<int32_t>> {
               return ++text > 20 ? std::nullopt : std::optional(some_ids(kTokens, text));
             },
             {.edits = edits});
         std::vector<double> values;
         for (const Tensor& weight : fit.lens.weights) append(values, weight.view().to_f32());
         return values;
       }},
      {"score",
       {"logits"},
       [](const Model& model, const Hooks& edits) {
         std::vector<double> values;
         const Score found = score(model, some_ids(15), {.window = 8, .stride = 3, .edits = edits});
         for (const TokenScore& token : found.tokens)
           append(values, std::vector<double>{token.loss, token.entropy, token.top_loss});
         return values;
       }},
      {"generate",
       {"logits"},
       [](const Model& model, const Hooks& edits) {
         Hooks hooks = edits;
         const Generation found =
             generate(model, {some_ids(5)}, {.max_new_tokens = 4}, hooks.capture("logits"));
         std::vector<double> values;
         append(values, found.captures->view("logits").to_f32());
         append(values, found.sequences[0].ids);
         return values;
       }},
      {"noise",
       {"blocks.*.hook_resid_post", "logits"},
       [](const Model& model, const Hooks& edits) {
         NoiseOptions options;
         options.kinds = {NoiseKind::kScattered};
         options.repetitions = 2;
         options.continuation = {3};
         options.edits = edits;
         const Noise found = noise(model, some_ids(kTokens), options);
         std::vector<double> values = {found.log_prob};
         append(values, found.effects[0].log_probs);
         return values;
       }},
      saliency_of("grad x input", SaliencyMethod::kGradXInput),
      saliency_of("gradient norm", SaliencyMethod::kGradientNorm),
      saliency_of("smooth grad", SaliencyMethod::kSmoothGrad),
      saliency_of("integrated gradients", SaliencyMethod::kIntegratedGradients),
      saliency_of("occlusion", SaliencyMethod::kOcclusion),
  };
  for (auto* more : {&representations, &attentions}) {
    std::vector<Analysis> found = (*more)();
    std::move(found.begin(), found.end(), std::back_inserter(all));
  }
  return all;
}

/// What a full run shows of the sites.
std::vector<double> shown(const Model& model, const std::vector<std::string>& sites,
                          const Hooks& edits) {
  Hooks hooks = edits;
  for (const std::string& site : sites) hooks.capture(site);
  const Run run = model.forward(some_ids(kTokens), hooks);
  std::vector<double> values;
  for (const Captures::Entry& entry : run.captures().entries())
    append(values, entry.sequences[0].values.to_f32());
  return values;
}

class EditsReach : public ::testing::TestWithParam<SiteInfo> {};

TEST_P(EditsReach, EveryAnalysisOrAreRejectedByName) {
  const Model model = small_model();
  const std::string site(GetParam().name);
  std::vector<std::string> places = {site};
  if (GetParam().per_layer) places = {"blocks.1." + site, "blocks.2." + site};
  for (const Analysis& analysis : analyses()) {
    for (const std::string& place : places) {
      SCOPED_TRACE(analysis.name + ", edit of " + place);
      const Hooks edits = Hooks().edit(place, analysis.written ? scale(0.5f) : uneven());
      const bool changed =
          shown(model, analysis.reads, edits) != shown(model, analysis.reads, Hooks());
      std::vector<double> found;
      try {
        found = analysis.find(model, edits);
      } catch (const Error& refusal) {
        EXPECT_EQ(refusal.kind(), Error::Kind::kUser);
        EXPECT_TRUE(says(refusal.what(), place));
        continue;
      }
      EXPECT_EQ(found != analysis.find(model, Hooks()), changed);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, EditsReach, ::testing::ValuesIn(kSites), [](const auto& each) {
  std::string name(each.param.name);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

// --- logits, whose rows no analysis holds unless they are edited: against whole logits

double log_sum_exp(std::span<const float> logits) {
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  return std::log(sum);
}

TEST(LogitEdits, UniformLogitsCostLnV) {
  const Model model = small_model();
  const Hooks edits = Hooks().edit("logits", zero());
  const Score found = score(model, some_ids(15), {.edits = edits});
  for (const TokenScore& token : found.tokens) {
    EXPECT_NEAR(token.loss, std::log(61.0), 1e-6);
    EXPECT_NEAR(token.entropy, std::log(61.0), 1e-6);
    EXPECT_EQ(token.rank, 1);
  }
}

TEST(LogitEdits, ScoresAndLastRowAreThoseOfTheRun) {
  const Model model = small_model();
  const auto ids = some_ids(kTokens);
  const float out = -std::numeric_limits<float>::infinity();
  const Hooks edits = Hooks()
                          .edit("logits", uneven())
                          .edit("logits", replace(Tensor::from({&out, 1})), {.neurons = {17, 40}});
  const auto run = model.forward(ids, edits);
  const Score scored = score(model, ids, {.edits = edits});
  const Lens seen = lens(model, ids, {.kl = true, .watch = {17}, .edits = edits});
  const size_t last = seen.rows() - 1;
  for (size_t p = 0; p < ids.size(); ++p) {
    const auto logits = run.logits().slice(static_cast<int64_t>(p)).f32();
    const double lse = log_sum_exp(logits);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    const size_t cell = seen.cell(last, p);
    EXPECT_EQ(seen.top_ids[cell * 5], best);
    EXPECT_NEAR(seen.top_log_probs[cell * 5], logits[static_cast<size_t>(best)] - lse, 1e-5);
    EXPECT_EQ(seen.watch_log_probs[cell], out) << "a token that is out";
    EXPECT_EQ(seen.kl[cell], 0);
    if (p + 1 < ids.size()) {
      const double loss = lse - static_cast<double>(logits[static_cast<size_t>(ids[p + 1])]);
      EXPECT_EQ(scored.tokens[p].top_id, best);
      if (std::isinf(loss)) {
        EXPECT_EQ(scored.tokens[p].loss, loss);
      } else {
        EXPECT_NEAR(scored.tokens[p].loss, loss, 1e-5);
      }
    }
  }
  EXPECT_EQ(seen.targets.back(), std::max_element(run.logits().slice(kTokens - 1).f32().begin(),
                                                  run.logits().slice(kTokens - 1).f32().end()) -
                                     run.logits().slice(kTokens - 1).f32().begin());
}

TEST(LogitEdits, DivergenceIsFromTheEditedOutput) {
  const Model model = small_model();
  const auto ids = some_ids(kTokens);
  const Hooks edits = Hooks().edit("logits", uneven());
  const vitrine::Run run = model.forward(ids, edits);
  const auto output = run.logits().slice(4).f32();
  const auto plain = model.forward(ids, Hooks().capture("blocks.0.hook_resid_post"));
  const Lens seen = lens(model, ids, {.kl = true, .positions = {4}, .layers = {1}, .edits = edits});
  visit_logits(model, plain["blocks.0.hook_resid_post"], true,
               [&](int64_t row, std::span<const float> logits) {
                 if (row != 4) return;
                 const double lse = log_sum_exp(logits), own = log_sum_exp(output);
                 double kl = 0;
                 for (size_t v = 0; v < logits.size(); ++v)
                   kl += std::exp(output[v] - own) * ((output[v] - own) - (logits[v] - lse));
                 EXPECT_NEAR(seen.kl[0], kl, 1e-6);
               });
}

TEST(LogitEdits, GenerationIsGreedyOnThem) {
  const Model model = small_model();
  Hooks edits = Hooks().edit("logits", uneven());
  const Generation found =
      generate(model, {some_ids(4)}, {.max_new_tokens = 6}, edits.capture("logits"));
  const TensorView logits = found.captures->view("logits");
  for (size_t step = 0; step < 6; ++step) {
    const auto row = logits.slice(static_cast<int64_t>(3 + step)).f32();
    EXPECT_EQ(found.sequences[0].ids[step], std::max_element(row.begin(), row.end()) - row.begin());
  }
}

TEST(LogitEdits, WordsCostWhatTheirTokensDo) {
  const Model model = Model::load("demo", {.threads = 2});
  const double uniform = std::log(static_cast<double>(model.config().vocab));
  const Hooks edits = Hooks().edit("logits", zero());
  const WordScores leading =
      score_words(model, "The keys to the cabinet", WordBoundary::kLeading, {.edits = edits});
  for (const WordScore& word : leading.words) {
    if (std::isnan(word.surprisal)) continue;
    EXPECT_NEAR(word.surprisal, uniform * static_cast<double>(word.tokens), 1e-4);
  }
  // With every token as likely as any other the boundary weighs the same before and after a word.
  const WordScores trailing =
      score_words(model, "The keys to the cabinet", WordBoundary::kTrailing, {.edits = edits});
  EXPECT_NEAR(trailing.words[1].surprisal, leading.words[1].surprisal, 1e-4);
}

}  // namespace
}  // namespace vitrine::testing
