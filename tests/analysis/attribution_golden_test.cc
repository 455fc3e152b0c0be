// SPDX-License-Identifier: MIT
// Patching, ablation, tracing, path patching and direct logit attribution against
// tools/make_attribution_goldens.py: transformers in double precision, changed by hooks, every cell
// a whole run.

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "support.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine::testing {
using namespace internal;
namespace {

// float32 activations; logits and their differences are numbers of some ten to twenty.
constexpr double kTolerance = 5e-5;

const std::map<std::string, Site> kSiteOf = {
    {"resid_pre", Site::kResidPre},
    {"resid_post", Site::kResidPost},
    {"attn_out", Site::kAttnOut},
    {"mlp_pre", Site::kMlpPre},
    {"mlp_post", Site::kMlpPost},
    {"mlp_out", Site::kMlpOut},
    {"q", Site::kQ},
    {"k", Site::kK},
    {"v", Site::kV},
    {"z", Site::kZ},
};
const std::map<std::string, PatchOver> kOver = {{"positions", PatchOver::kPositions},
                                                {"heads", PatchOver::kHeads},
                                                {"whole", PatchOver::kWhole}};

std::vector<double> flat(const Json& rows) {
  std::vector<double> values;
  for (const Json& row : rows) {
    for (const Json& value : row) values.push_back(value.get<double>());
  }
  return values;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& wanted,
                 double tolerance = kTolerance) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], wanted[i], tolerance) << "number " << i;
}

class AttributionGoldens : public ::testing::TestWithParam<const char*> {
 protected:
  Json golden_ = read_json(std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" /
                           "goldens" / ("attribution_" + std::string(GetParam()) + ".json"));
  Model model_ = Model::load(golden_folder(GetParam()).string());
  std::vector<int32_t> clean_ = golden_["task"]["clean"], corrupt_ = golden_["task"]["corrupt"];

  PatchMetric metric(PatchMetric::Kind kind = PatchMetric::Kind::kLogitDifference) const {
    return {kind, golden_["task"]["answer"].get<int32_t>(),
            golden_["task"]["wrong"].get<int32_t>()};
  }
};

TEST_P(AttributionGoldens, Patching) {
  const Json& golden = golden_["patching"];
  const double clean = golden["clean"], corrupt = golden["corrupt"];
  for (const Json& wanted : golden["grids"]) {
    const bool denoise = wanted["direction"] == "denoise";
    SCOPED_TRACE(wanted["direction"].dump() + wanted["site"].dump() + wanted["over"].dump());
    PatchOptions options{.metric = metric(),
                         .direction = denoise ? PatchDirection::kDenoise : PatchDirection::kNoise,
                         .attribution = true};
    options.cells = {.sites = {kSiteOf.at(wanted["site"])}, .over = kOver.at(wanted["over"])};
    const Patching found = patch(model_, clean_, corrupt_, options);
    EXPECT_NEAR(found.clean, clean, kTolerance);
    EXPECT_NEAR(found.corrupt, corrupt, kTolerance);
    expect_near(found.grids[0].values, flat(wanted["values"]));
    std::vector<double> estimates;  // the golden has changes of the metric, the grid the scale on
                                    // which the prompts are 0 and 1
    for (const double estimate : found.grids[0].estimates)
      estimates.push_back(corrupt + estimate * (clean - corrupt) - (denoise ? corrupt : clean));
    expect_near(estimates, flat(wanted["estimates"]));
  }
}

TEST_P(AttributionGoldens, Metrics) {
  for (const Json& wanted : golden_["metrics"]) {
    const PatchMetric::Kind kind = patch_metric_from_name(wanted["metric"].get<std::string>());
    const Patching found =
        patch(model_, clean_, corrupt_, {.metric = metric(kind), .exact = false});
    expect_near({found.clean, found.corrupt}, wanted["values"].get<std::vector<double>>());
  }
}

TEST_P(AttributionGoldens, Ablations) {
  const Json& golden = golden_["ablations"];
  const Batch others = golden["others"].get<Batch>();
  for (const Json& wanted : golden["grids"]) {
    SCOPED_TRACE(wanted["ablation"].dump() + wanted["site"].dump());
    AblationOptions options{.ablation = ablation_from_name(wanted["ablation"].get<std::string>()),
                            .metric = metric()};
    options.cells = {.sites = {kSiteOf.at(wanted["site"])}, .over = kOver.at(wanted["over"])};
    if (options.ablation == Ablation::kMean) options.others = others;
    if (options.ablation == Ablation::kResample) options.others = {others[0]};
    const Ablations found = ablate(model_, clean_, options);
    EXPECT_NEAR(found.value, golden["value"].get<double>(), kTolerance);
    expect_near(found.grids[0].values, flat(wanted["values"]));
    for (size_t i = 0; i < found.grids[0].values.size(); ++i)
      EXPECT_EQ(found.grids[0].effects[i], found.grids[0].values[i] - found.value);
  }
}

TEST_P(AttributionGoldens, CausalTrace) {
  const Json& golden = golden_["tracing"];
  for (const Json& wanted : golden["grids"]) {
    SCOPED_TRACE(wanted["site"].dump());
    TraceOptions options{.metric = metric(PatchMetric::Kind::kLogProb),
                         .subject = golden["subject"].get<std::vector<int64_t>>(),
                         .draws = golden["draws"],
                         .noise = golden["noise"]};
    options.seed = golden["seed"];
    options.cells = {.sites = {kSiteOf.at(wanted["site"])}, .window = wanted["window"]};
    const Trace found = causal_trace(model_, clean_, options);
    EXPECT_NEAR(found.deviation, golden["deviation"].get<double>(), 1e-6);
    EXPECT_NEAR(found.clean, golden["clean"].get<double>(), kTolerance);
    expect_near(found.draws, golden["corrupt"].get<std::vector<double>>());
    expect_near(found.grids[0].values, flat(wanted["values"]));
  }
}

std::vector<PathNode> nodes(const Json& list) {
  const std::map<std::string, PathNode::Kind> kinds = {{"embed", PathNode::Kind::kEmbedding},
                                                       {"head", PathNode::Kind::kHead},
                                                       {"mlp", PathNode::Kind::kMlp},
                                                       {"q", PathNode::Kind::kQuery},
                                                       {"k", PathNode::Kind::kKey},
                                                       {"v", PathNode::Kind::kValue},
                                                       {"final", PathNode::Kind::kFinalResidual}};
  std::vector<PathNode> result;
  for (const Json& node : list) result.push_back({kinds.at(node[0]), node[1], node[2]});
  return result;
}

TEST_P(AttributionGoldens, PathPatching) {
  for (const Json& wanted : golden_["paths"]) {
    SCOPED_TRACE(wanted["receivers"].dump() + wanted["through_mlps"].dump());
    const PathOptions options{.metric = metric(),
                              .direction = PatchDirection::kNoise,
                              .receivers = nodes(wanted["receivers"]),
                              .receiver_positions = wanted["positions"].get<std::vector<int64_t>>(),
                              .through_mlps = wanted["through_mlps"]};
    const PathPatching found = path_patch(model_, clean_, corrupt_, options);
    EXPECT_EQ(found.senders, nodes(wanted["senders"]));
    expect_near(found.values, wanted["values"].get<std::vector<double>>());
  }
}

TEST_P(AttributionGoldens, LogitAttribution) {
  for (const Json& wanted : golden_["attribution"]) {
    AttributionOptions options{.target = wanted["target"].get<int32_t>(),
                               .position = wanted["position"],
                               .neurons = 1 << 20};
    if (!wanted["against"].is_null()) options.against = wanted["against"].get<int32_t>();
    const LogitAttribution found =
        logit_attribution(model_, wanted["ids"].get<std::vector<int32_t>>(), options);
    EXPECT_NEAR(found.logit, wanted["logit"].get<double>(), kTolerance);
    EXPECT_NEAR(found.gap(), 0.0, kTolerance);
    expect_near({found.embedding, found.position_embedding, found.final_bias},
                {wanted["embedding"], wanted["position_embedding"], wanted["final_bias"]});
    expect_near(found.head, flat(wanted["head"]));
    expect_near(found.attention_bias, wanted["attention_bias"].get<std::vector<double>>());
    expect_near(found.mlp, wanted["mlp"].get<std::vector<double>>());
    expect_near(found.mlp_bias, wanted["mlp_bias"].get<std::vector<double>>());
    for (size_t i = 0; i < found.neurons.size(); ++i) {
      const LogitAttribution::Neuron& neuron = found.neurons[i];
      EXPECT_NEAR(
          neuron.contribution,
          wanted["neurons"][static_cast<size_t>(neuron.layer)][static_cast<size_t>(neuron.neuron)]
              .get<double>(),
          kTolerance);
      EXPECT_GE(std::abs(found.neurons[i > 0 ? i - 1 : 0].contribution),
                std::abs(neuron.contribution));
    }
    EXPECT_EQ(found.neurons.size(), flat(wanted["neurons"]).size());
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, AttributionGoldens,
                         ::testing::Values("plain", "untied", "act_quick_gelu",
                                           "no_scale_inverse_layer"),
                         [](const auto& checkpoint) { return std::string(checkpoint.param); });

}  // namespace
}  // namespace vitrine::testing
