// SPDX-License-Identifier: MIT
// `vitrine noise` against the library.

#include "vitrine/analysis/noise.h"

#include <gtest/gtest.h>

#include <cstring>

#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

TEST(NoiseCommand, NumbersAreTheLibrarysInJsonAndInTheFile) {
  TempFolder folder;
  const std::vector<int32_t> ids = {5, 9, 77, 3, 40, 8, 8, 1};
  const Json json = run_json({"noise",
                              "--model",
                              plain(),
                              "--ids",
                              "5,9,77,3,40,8,8,1",
                              "--kind",
                              "text-infilling",
                              "--kind",
                              "spans",
                              "--kind",
                              "scattered",
                              "--mask",
                              "id:4",
                              "--budget",
                              "0.4",
                              "--poisson",
                              "2",
                              "--repetitions",
                              "3",
                              "--seed",
                              "6",
                              "--continuation-ids",
                              "7,8",
                              "--out",
                              folder / "x.safetensors"});
  NoiseOptions options{
      .kinds = {NoiseKind::kTextInfilling, NoiseKind::kSpans, NoiseKind::kScattered},
      .repetitions = 3,
      .budget = 0.4,
      .poisson = 2,
      .seed = 6};
  options.mask = {.kind = Replacement::Kind::kToken, .token = 4};
  options.continuation = {7, 8};
  const Noise wanted = noise(Model::load(plain()), ids, options);
  const Json& result = json["results"][0];
  EXPECT_EQ(result["log_probability"].get<double>(), wanted.log_prob) << "every digit";
  EXPECT_EQ(result["continuation"][1]["id"], 8);
  EXPECT_EQ(result["spans_less_scattered"]["standard_error"].get<double>(),
            wanted.spans_less_scattered->standard_error);
  const SafetensorsFile file(folder / "x.safetensors");
  ASSERT_EQ(result["noises"].size(), 3u);
  for (size_t kind = 0; kind < 3; ++kind) {
    const NoiseEffect& effect = wanted.effects[kind];
    const Json& got = result["noises"][kind];
    EXPECT_EQ(got["noise"], noise_kind_name(effect.kind));
    EXPECT_EQ(got["log_probability_change"]["mean"].get<double>(), effect.log_prob_change.mean);
    EXPECT_EQ(got["rank"]["mean"].get<double>(), effect.rank.mean);
    EXPECT_EQ(got["repetitions"]["log_probability"].get<std::vector<double>>(), effect.log_probs);
    EXPECT_EQ(got["repetitions"]["masked"].get<std::vector<int32_t>>(), effect.masked);
    for (size_t r = 0; r < 3; ++r)
      EXPECT_EQ(got["repetitions"]["ids"][r].get<std::vector<int32_t>>(), effect.prompts[r].ids);
    EXPECT_EQ(got["repetitions"]["cka"][1][0].get<double>(), effect.ckas[effect.cka.size()]);
    EXPECT_EQ(got["cosine"][1]["mean"].get<double>(), effect.cosine[1].mean);
    const auto all = file.tensor("repetitions_cosine.0");
    EXPECT_EQ(all.shape(), (Shape{3, 3, static_cast<int64_t>(effect.cosine.size())}));
    const auto tensor = all.slice(static_cast<int64_t>(kind));
    std::vector<double> cosines(effect.cosines.size());
    std::memcpy(cosines.data(), tensor.data(), tensor.bytes());
    EXPECT_EQ(cosines, effect.cosines);
  }
}

TEST(NoiseCommand, OnTheDemo) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const CliResult result =
      run_cli({"noise", "--prompt", "The keys are new. It was late. The keys to the cabinet",
               "--repetitions", "3", "--show", "both"});
  EXPECT_EQ(result.status, 0) << result.err;
  for (const char* word :
       {"3 sentences: budget 2", "the model's own choice", "sentence-permutation", "text-infilling",
        "□", "spans less scattered", "embed", "0.15 of the tokens"}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
  }
}

TEST(NoiseCommand, RefusesInOneLine) {
  const CliResult kind =
      run_cli({"noise", "--model", plain(), "--ids", "1,2", "--kind", "masking"});
  EXPECT_EQ(kind.status, 2);
  EXPECT_NE(kind.err.find("unknown noise 'masking': expected one of spans, scattered"),
            std::string::npos)
      << kind.err;
  const CliResult budget = run_cli({"noise", "--model", plain(), "--ids", "1,2", "--budget", "2"});
  EXPECT_EQ(budget.status, 2);
  EXPECT_EQ(budget.err, "vitrine: noise budget 2 is out of range: expected 0..1, such as 0.15\n");
}

}  // namespace
}  // namespace vitrine::testing
