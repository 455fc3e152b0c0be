// SPDX-License-Identifier: MIT
// Patching leaves activations where the model runs: what a sweep copies there does not grow with
// the values that it replaces.

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "base/profile.h"
#include "tests/analysis/naive_patching.h"
#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "vitrine/analysis.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::test_options;
using testing_support::tokens;

constexpr int kTokens = 24;

Config config() {
  Config config;
  config.layers = 3;
  config.heads = 2;
  config.width = 64;
  config.inner = 48;
  config.vocab = 61;
  config.context = 32;
  return config;
}

class PatchingTransfers : public ::testing::Test {
 protected:
  PatchingTransfers() { corrupt_[3] = (corrupt_[3] + 7) % 61; }
  void TearDown() override {
    set_profiling(false);
    clear_profiles();
  }

  static Model profiled() {
    set_profiling(true);
    return Model::random(config(), 5, test_options({.threads = 1}));
  }

  /// Bytes that `work` copies from the host to the backend's memory, besides the numbers of a
  /// batch.
  double uploaded_by(const std::function<void()>& work) const {
    clear_profiles();
    work();
    auto costs = profile_of(model_.device_description(), ProfileTimes::kOperations)->operations();
    return costs["upload"].bytes / 2;  // read once, written once
  }

  Model model_ = profiled();
  std::vector<int32_t> clean_ = tokens(kTokens, 3, config()), corrupt_ = clean_;
  PatchMetric metric_{.answer = 5, .wrong = 17};
};

TEST_F(PatchingTransfers, ReplacedValuesStayWhereTheModelRuns) {
  if (testing_support::on_cpu()) GTEST_SKIP() << "a CPU's memory is the host's";
  for (const Site site : {Site::kMlpOut, Site::kZ, Site::kPattern}) {
    for (const PatchOver over : {PatchOver::kWhole, PatchOver::kHeads}) {
      if (over == PatchOver::kHeads && site == Site::kMlpOut) continue;
      const double bytes = uploaded_by([&] {
        patch(model_, clean_, corrupt_,
              {.metric = metric_, .cells = {.sites = {site}, .over = over}});
      });
      EXPECT_EQ(bytes, 0) << site_info(site).name;
    }
  }
  EXPECT_EQ(uploaded_by([&] {
              ablate(model_, clean_,
                     {.ablation = Ablation::kResample, .metric = metric_, .others = {corrupt_}});
            }),
            0);
}

// Each sender has two passes; a difference of final residuals is computed by the host.
TEST_F(PatchingTransfers, OfPathsAreTheDifferencesAlone) {
  if (testing_support::on_cpu()) GTEST_SKIP() << "a CPU's memory is the host's";
  PathPatching found;
  const double bytes =
      uploaded_by([&] { found = path_patch(model_, clean_, corrupt_, {.metric = metric_}); });
  const auto senders = static_cast<double>(found.senders.size());
  EXPECT_GT(bytes, 0);
  EXPECT_LE(bytes, senders * 64 * sizeof(float));
}

TEST_F(PatchingTransfers, CellsAreWholeRunsWithThatEdit) {
  const testing::NaivePatching naive(model_, corrupt_, clean_, metric_);
  for (const PatchOver over : {PatchOver::kPositions, PatchOver::kHeads, PatchOver::kNeurons}) {
    PatchCells cells{.sites = {Site::kZ, Site::kV, Site::kPattern}, .over = over, .layers = {1}};
    if (over == PatchOver::kPositions) cells.positions = {2, 3, 5, 23};
    if (over == PatchOver::kNeurons) {
      cells.sites = {Site::kMlpPost};
      cells.neurons = {0, 7, 47};
    }
    const Patching found = patch(model_, clean_, corrupt_, {.metric = metric_, .cells = cells});
    for (const PatchGrid& grid : found.grids) {
      // On a GPU edited maps agree to rounding with those of other passes.
      const double tolerance = grid.site == Site::kPattern && !testing_support::on_cpu() ? 1e-4 : 0;
      for (size_t column = 0; column < grid.columns.size(); ++column)
        EXPECT_NEAR(grid.values[grid.cell(0, column)], naive.cell(grid, 0, column), tolerance)
            << site_info(grid.site).name << " " << grid.columns[column];
    }
  }
}

}  // namespace
}  // namespace vitrine
