// SPDX-License-Identifier: MIT
// The tuned lens, its fit, lenses of what blocks write, divergences and rankings against
// tools/make_lens_goldens.py, which computes them in double precision with transformers and NumPy's
// least squares.

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "support.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/tuned_lens.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

// float32 activations and logits that spread over some 20 nats.
constexpr double kLensTolerance = 2e-5;

std::filesystem::path goldens() {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" / "goldens";
}

class LensGoldens : public ::testing::TestWithParam<const char*> {
 protected:
  Json golden_ = read_json(goldens() / ("lens_" + std::string(GetParam()) + ".json"));
  Model model_ = Model::load(golden_folder(GetParam()).string());
};

TEST_P(LensGoldens, EveryModeOfEverySource) {
  const TunedLens tuned = load_tuned_lens(goldens() / ("tuned_" + std::string(GetParam())), model_);
  EXPECT_EQ(tuned.model, GetParam());
  for (const Json& wanted : golden_["lens"]) {
    SCOPED_TRACE(wanted["mode"].get<std::string>() + " of " + wanted["of"].get<std::string>());
    LensOptions options{.mode = lens_mode_from_name(wanted["mode"].get<std::string>()),
                        .of = lens_source_from_name(wanted["of"].get<std::string>()),
                        .kl = true};
    if (options.mode == LensMode::kTuned) options.tuned = tuned;
    const auto ids = wanted["ids"].get<std::vector<int32_t>>();
    const Lens found = lens(model_, ids, options);
    ASSERT_EQ(found.kl.size(), wanted["cells"].size());
    for (size_t cell = 0; cell < found.kl.size(); ++cell) {
      const Json& want = wanted["cells"][cell];
      SCOPED_TRACE(want.dump());
      EXPECT_EQ(found.layers[cell / ids.size()], want[0].get<int>());
      EXPECT_EQ(found.target_ranks[cell], want[2].get<int32_t>());
      EXPECT_NEAR(found.target_log_probs[cell], want[3].get<double>(), kLensTolerance);
      EXPECT_NEAR(found.kl[cell], want[4].get<double>(), kLensTolerance);
    }
  }
}

TEST_P(LensGoldens, Rankings) {
  const Json& wanted = golden_["rankings"];
  const Lens found =
      rankings(model_, wanted["prompt"].get<std::vector<int32_t>>(), {.max_new_tokens = 5});
  EXPECT_EQ(found.ids, wanted["ids"].get<std::vector<int32_t>>());
  for (const Json& cell : wanted["cells"]) {  // step by step there, layer by layer here
    const size_t at = found.cell(cell[0].get<size_t>(), cell[1].get<size_t>());
    EXPECT_EQ(found.target_ranks[at], cell[2].get<int32_t>()) << cell;
    EXPECT_NEAR(found.target_log_probs[at], cell[3].get<double>(), kLensTolerance) << cell;
  }
}

TEST_P(LensGoldens, Fit) {
  const Json& wanted = golden_["fit"];
  const auto texts = wanted["texts"].get<Batch>();
  size_t next = 0;
  const auto give = [&]() -> std::optional<std::vector<int32_t>> {
    return next < texts.size() ? std::optional(texts[next++]) : std::nullopt;
  };
  const TunedLensFit fit =
      fit_tuned_lens(model_, give, {.alpha = wanted["alpha"], .held_out_every = wanted["every"]});
  const SafetensorsFile file(goldens() / ("fit_" + std::string(GetParam()) + ".safetensors"));
  for (int layer = 0; layer < model_.config().layers; ++layer) {
    const auto l = static_cast<size_t>(layer);
    // float32 activations through a regression that alpha keeps from amplifying them more than
    // tenfold, entries of about 1.
    const auto expect_near = [&](const Tensor& got, const std::string& name) {
      const auto want = file.tensor(name).f32();
      ASSERT_EQ(got.elements(), static_cast<int64_t>(want.size()));
      for (size_t i = 0; i < want.size(); ++i)
        ASSERT_NEAR(got.f32()[i], want[i], 2e-5) << name << " " << i;
    };
    expect_near(fit.lens.weights[l], std::to_string(layer) + ".weight");
    expect_near(fit.lens.biases[l], std::to_string(layer) + ".bias");
    const Json& row = wanted["rows"][l];
    EXPECT_NEAR(fit.rows[l].normalized_loss, row[0].get<double>(), kLensTolerance);
    EXPECT_NEAR(fit.rows[l].tuned_loss, row[1].get<double>(), kLensTolerance);
    EXPECT_NEAR(fit.rows[l].normalized_kl, row[2].get<double>(), kLensTolerance);
    EXPECT_NEAR(fit.rows[l].tuned_kl, row[3].get<double>(), kLensTolerance);
  }
  EXPECT_NEAR(fit.model_loss, wanted["model_loss"].get<double>(), kLensTolerance);
  int64_t held = 0, all = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    all += static_cast<int64_t>(texts[i].size());
    if ((i + 1) % wanted["every"].get<size_t>() == 0) held += static_cast<int64_t>(texts[i].size());
  }
  EXPECT_EQ(fit.held_out_tokens, held);
  EXPECT_EQ(fit.fitted_tokens, all - held);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, LensGoldens, ::testing::Values("plain", "untied"),
                         [](const auto& checkpoint) { return std::string(checkpoint.param); });

}  // namespace
}  // namespace vitrine::testing
