// SPDX-License-Identifier: MIT
// The lens and the score against tools/make_analysis_goldens.py, which computes them in double
// precision from the formulas.

#include <gtest/gtest.h>

#include "base/json.h"
#include "support.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/score.h"

namespace vitrine::testing {
using namespace internal;
namespace {

// float32 activations and logits that spread over some 20 nats.
constexpr double kTolerance = 2e-5;

class AnalysisGoldens : public ::testing::TestWithParam<const char*> {
 protected:
  Json golden_ = read_json(std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" /
                           "goldens" / (std::string(GetParam()) + ".json"));
  Model model_ = Model::load(golden_folder(GetParam()).string());
};

void expect_looked_up(const Json& wanted, int32_t rank, double log_prob) {
  EXPECT_EQ(rank, wanted[0].get<int32_t>());
  EXPECT_NEAR(log_prob, wanted[1].get<double>(), kTolerance);
}

TEST_P(AnalysisGoldens, Lens) {
  for (const Json& wanted : golden_["lens"]) {
    SCOPED_TRACE(wanted["mode"].get<std::string>());
    LensOptions options;
    options.mode = lens_mode_from_name(wanted["mode"].get<std::string>());
    options.top_k = wanted["top_k"];
    options.watch = wanted["watch"].get<std::vector<int32_t>>();
    const auto ids = wanted["ids"].get<std::vector<int32_t>>();
    const Lens found = lens(model_, ids, options);
    EXPECT_EQ(found.targets, wanted["targets"].get<std::vector<int32_t>>());
    ASSERT_EQ(found.rows() * found.positions.size(), wanted["cells"].size());
    const auto k = static_cast<size_t>(found.top_k), w = found.watch.size();
    for (size_t cell = 0; cell < wanted["cells"].size(); ++cell) {
      const Json& want = wanted["cells"][cell];
      SCOPED_TRACE(want["layer"].dump() + " " + want["position"].dump());
      EXPECT_EQ(found.layers[cell / found.positions.size()], want["layer"].get<int>());
      EXPECT_EQ(found.positions[cell % found.positions.size()], want["position"].get<int64_t>());
      expect_looked_up(want["target"], found.target_ranks[cell], found.target_log_probs[cell]);
      for (size_t i = 0; i < w; ++i)
        expect_looked_up(want["watch"][i], found.watch_ranks[cell * w + i],
                         found.watch_log_probs[cell * w + i]);
      for (size_t i = 0; i < k; ++i) {
        EXPECT_EQ(found.top_ids[cell * k + i], want["top"][i][0].get<int32_t>());
        EXPECT_NEAR(found.top_log_probs[cell * k + i], want["top"][i][1].get<double>(), kTolerance);
      }
      EXPECT_NEAR(found.entropies[cell], want["entropy"].get<double>(), kTolerance);
    }
  }
}

TEST_P(AnalysisGoldens, Score) {
  for (const Json& wanted : golden_["score"]) {
    SCOPED_TRACE("window " + wanted["window"].dump() + " stride " + wanted["stride"].dump());
    ScoreOptions options;
    options.window = wanted["window"];
    options.stride = wanted["stride"];
    options.prepend = wanted["prepend"];
    const Score found = score(model_, wanted["ids"].get<std::vector<int32_t>>(), options);
    ASSERT_EQ(found.tokens.size(), wanted["scores"].size());
    double total = 0;
    for (size_t i = 0; i < found.tokens.size(); ++i) {
      const Json& want = wanted["scores"][i];
      EXPECT_EQ(found.tokens[i].position, want["position"].get<int64_t>());
      EXPECT_EQ(found.tokens[i].context, want["context"].get<int64_t>());
      EXPECT_NEAR(found.tokens[i].loss, want["loss"].get<double>(), kTolerance) << "token " << i;
      total += want["loss"].get<double>();
    }
    EXPECT_NEAR(found.mean_nats(), total / static_cast<double>(found.tokens.size()), kTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, AnalysisGoldens, ::testing::Values("plain", "untied"),
                         [](const auto& checkpoint) { return std::string(checkpoint.param); });

}  // namespace
}  // namespace vitrine::testing
