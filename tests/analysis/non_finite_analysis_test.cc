// SPDX-License-Identifier: MIT
// What is not a number never becomes a rank, a zero or a share: an analysis says where it first
// appears, or keeps it as what it is.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/json.h"
#include "support.h"
#include "vitrine/vitrine.h"

namespace vitrine::testing {
using namespace internal;
namespace {

/// One element of position 2 of this site becomes NaN.
Hooks spoiled(const std::string& site) {
  return Hooks().edit(site,
                      callback([](EditView& view) { view.values[1] = NAN; }, [](EditView&) {}),
                      {.positions = {2}});
}

constexpr const char* kSite = "blocks.1.hook_resid_pre";
constexpr const char* kSaid = "blocks.1.hook_resid_pre is NaN at position 2";

TEST(NotANumber, EveryAnalysisSaysWhereItAppears) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Batch texts = {some_ids(6), some_ids(5, 2), some_ids(4, 3)};
  const Hooks edits = spoiled(kSite);
  const std::vector<std::pair<const char*, std::function<void()>>> all = {
      {"lens", [&] { lens(model, ids, {.edits = edits}); }},
      {"lens of the last position", [&] { lens(model, ids, {.positions = {-1}, .edits = edits}); }},
      {"lens of MLPs", [&] { lens(model, ids, {.of = LensSource::kMlp, .edits = edits}); }},
      {"lens with KL", [&] { lens(model, ids, {.kl = true, .edits = edits}); }},
      {"rankings", [&] { rankings(model, ids, {.max_new_tokens = 2}, {.edits = edits}); }},
      {"score", [&] { score(model, ids, {.edits = edits}); }},
      {"generate", [&] { generate(model, {ids}, {.max_new_tokens = 2}, edits); }},
      {"noise", [&] { noise(model, ids, {.repetitions = 2, .edits = edits}); }},
      {"noise of a continuation",
       [&] { noise(model, ids, {.repetitions = 2, .continuation = {4}, .edits = edits}); }},
      {"saliency", [&] { saliency(model, ids, {.edits = edits}); }},
      {"saliency of a target", [&] { saliency(model, ids, {.target = 7, .edits = edits}); }},
      {"occlusion",
       [&] { saliency(model, ids, {.method = SaliencyMethod::kOcclusion, .edits = edits}); }},
      {"rollout", [&] { attention_rollout(model, ids, {.edits = edits}); }},
      {"flow", [&] { attention_flow(model, ids, {.edits = edits}); }},
      {"similarity", [&] { similarity(model, texts, {.edits = edits}); }},
      {"svcca",
       [&] { similarity(model, texts, {.measure = SimilarityMeasure::kSvcca, .edits = edits}); }},
      {"concept",
       [&] {
         ConceptOptions options;
         options.site = "blocks.*.hook_resid_post";
         options.pooling = ConceptPooling::kMean;
         options.edits = edits;
         concept_directions(model, {texts[0], texts[1]}, {texts[1], texts[2]}, options);
       }},
      {"factors", [&] { factors(model, texts, {.components = 2, .edits = edits}); }},
      {"predictivity",
       [&] {
         stimulus_features(model, {.ids = texts, .groups = {"a", "b", "c"}}, {.edits = edits});
       }},
      {"fit",
       [&] {
         uint64_t text = 0;
         fit_tuned_lens(model,
                        [&]() -> std::optional<std::vector<int32_t>> {
                          return ++text > 20 ? std::nullopt : std::optional(some_ids(6, text));
                        },
                        {.edits = edits});
       }},
  };
  for (const auto& [name, run] : all) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(says(user_error_of(run), kSaid, "not finite"));
  }
}

/// The small model with weights so large that the stream overflows in the second block.
Model overflowing(const TempFolder& folder) {
  const auto path = folder / "model";
  write_random_checkpoint(path, {.config = small_model().config(), .seed = 5});
  const auto file = path / "model.safetensors";
  const SafetensorsFile before{file};
  std::vector<Tensor> copies;
  std::vector<std::pair<std::string, TensorView>> all;
  for (const std::string& name : before.names()) {
    copies.push_back(Tensor::from(before.tensor(name).to_f32(), before.tensor(name).shape()));
    if (!name.ends_with("h.1.mlp.c_proj.weight") && !name.ends_with("h.1.mlp.c_fc.weight"))
      continue;
    for (float& x : copies.back().f32()) x *= 1e30f;
  }
  for (size_t i = 0; i < copies.size(); ++i) all.emplace_back(before.names()[i], copies[i].view());
  SafetensorsWriter::write(folder / "other.safetensors", all);
  std::filesystem::rename(folder / "other.safetensors", file);
  return Model::load(path.string());
}

TEST(NotANumber, AnalysesWithoutEditsSayItOfTheWeights) {
  const TempFolder folder;
  const Model model = overflowing(folder);
  const auto ids = some_ids(6), other = some_ids(6, 2);
  const PatchMetric metric{.kind = PatchMetric::Kind::kLogProb, .answer = 3};
  const std::vector<std::pair<const char*, std::function<void()>>> all = {
      {"attribution", [&] { logit_attribution(model, ids); }},
      {"attribution of a target", [&] { logit_attribution(model, ids, {.target = 3}); }},
      {"patching", [&] { patch(model, ids, other, {.metric = metric}); }},
      {"path patching",
       [&] {
         PathOptions options;
         options.metric = metric;
         options.receivers = {PathNode::parse("final")};
         path_patch(model, ids, other, options);
       }},
      {"ablation", [&] { ablate(model, ids, {.metric = metric}); }},
      {"tracing", [&] { causal_trace(model, ids, {.metric = metric, .subject = {1}}); }},
  };
  for (const auto& [name, run] : all) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(says(user_error_of(run), "blocks.1.", "at position 0", "not finite"));
  }
}

TEST(NotANumber, MapsOfOtherHeadsStayFinite) {
  const Model model = small_model();
  const Hooks edits =
      Hooks().edit("blocks.1.attn.hook_q", callback([](EditView& view) { view.values[0] = NAN; }),
                   {.heads = {1}});
  const AttentionMaps maps = attention(model, some_ids(5), {.layers = {1}, .edits = edits});
  for (const float x : maps.map(0, 0)) EXPECT_TRUE(std::isfinite(x));
  EXPECT_TRUE(std::isnan(maps.map(0, 1)[0]));
  const HeadStatistics heads = head_statistics(
      model, {some_ids(5)}, {.layers = {0, 1}, .edits = spoiled("blocks.1.hook_resid_pre")});
  EXPECT_TRUE(std::isfinite(heads.entropy[0]));
  EXPECT_TRUE(std::isnan(heads.entropy[heads.cell(1, 0)])) << "not 0";
}

TEST(NotANumber, BaselinesAndMasksAreRefused) {
  const Model model = small_model();
  Tensor rows(DType::kF32, {24});
  rows.f32()[5] = NAN;
  const Replacement bad{.kind = Replacement::Kind::kTensor, .tensor = rows};
  SaliencyOptions options{.method = SaliencyMethod::kIntegratedGradients};
  options.integrated.baseline = bad;
  EXPECT_TRUE(says(user_error_of([&] { saliency(model, some_ids(4), options); }),
                   "the baseline is nan at element 5"));
  options = {.method = SaliencyMethod::kOcclusion};
  options.mask = bad;
  EXPECT_TRUE(says(user_error_of([&] { saliency(model, some_ids(4), options); }),
                   "the mask is nan at element 5"));
  EXPECT_TRUE(says(user_error_of([&] { noise(model, some_ids(4), {.mask = bad}); }),
                   "the mask is nan at element 5"));
}

// --- what is stored in fewer bits

TEST(NotANumber, CapturedOverflowsAreCounted) {
  const Model model = small_model();
  const float huge = 1e6f;
  const Batch texts = {some_ids(4), some_ids(6, 2)};
  const Hooks edits = Hooks().edit("blocks.1.hook_mlp_out", replace(Tensor::from({&huge, 1})),
                                   {.positions = {-1}, .neurons = {3, 4, 9}});
  for (const DType store : {DType::kF16, DType::kBF16, DType::kF32}) {
    const TempFolder folder;
    Hooks hooks = edits;
    hooks.capture("blocks.*.hook_mlp_out", {}, store)
        .capture("blocks.1.attn.hook_attn_scores", {}, store);
    const CaptureFileSummary found = capture_to_file(model, texts, hooks, folder / "c.safetensors");
    if (store != DType::kF16) {
      EXPECT_TRUE(found.non_finite.empty()) << "masked scores do not count";
      continue;
    }
    ASSERT_EQ(found.non_finite.size(), 1u);
    EXPECT_EQ(found.non_finite[0].name, "blocks.1.hook_mlp_out");
    EXPECT_EQ(found.non_finite[0].count, 6);
    EXPECT_EQ(found.non_finite[0].text, 0);
    EXPECT_EQ(found.non_finite[0].position, 3);
  }
}

TEST(NotANumber, ManifestsNameOverflows) {
  const Model model = small_model();
  const TempFolder folder;
  std::string text;
  for (uint64_t d = 0; d < 4; ++d) {
    text += "{\"ids\":[";
    for (const int32_t id : some_ids(5, d + 1)) text += std::to_string(id) + ",";
    text.back() = ']';
    text += "}\n";
  }
  const std::string path = folder.write("corpus.jsonl", text).string();
  const auto capture = [&](float value, const std::string& name) {
    Hooks hooks = Hooks().edit("blocks.1.hook_mlp_out", replace(Tensor::from({&value, 1})),
                               {.positions = {2}, .neurons = {7}});
    hooks.capture("blocks.1.hook_mlp_out", {}, DType::kF16);
    return capture_corpus(model, WindowReader(model, DocumentReader({path}, {.vocab = 61})), hooks,
                          folder / name);
  };
  const CorpusCaptureSummary found = capture(-1e5f, "a");
  ASSERT_EQ(found.non_finite.size(), 1u);
  EXPECT_EQ(found.non_finite[0].name, "blocks.1.hook_mlp_out");
  EXPECT_EQ(found.non_finite[0].count, 4);
  EXPECT_EQ(found.non_finite[0].text, 0);
  EXPECT_EQ(found.non_finite[0].position, 2);
  const Json manifest = read_json(found.folder / "manifest.json");
  EXPECT_EQ(manifest["shards"][0]["non_finite"][0]["count"], 4);
  // Again: the counts come from the manifest.
  EXPECT_EQ(capture(-1e5f, "a").non_finite.size(), 1u);
  const CorpusCaptureSummary fits = capture(-6e4f, "b");
  EXPECT_TRUE(fits.non_finite.empty());
  EXPECT_FALSE(read_json(fits.folder / "manifest.json")["shards"][0].contains("non_finite"));
}

}  // namespace
}  // namespace vitrine::testing
