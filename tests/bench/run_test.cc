// The whole of a run on a small shape: what was measured, and that its checks are made.

#include <gtest/gtest.h>

#include <set>

#include "bench/bench.h"
#include "bench/hook_sets.h"
#include "tests/engine/test_device.h"
#include "tests/support.h"

namespace vitrine::bench {
namespace {

BenchOptions small_options() {
  Config config;
  config.layers = 2;
  config.heads = 2;
  config.width = 128;
  config.inner = 256;
  config.vocab = 67;
  config.context = 32;
  BenchOptions options;
  options.subjects = {{"small", config}};
  options.device = testing_support::test_device();
  options.dtypes = {DType::kF32, DType::kBF16};
  options.threads = 1;
  options.workloads = workload_names();
  options.hooks = hook_set_names();
  options.repeat = 1;
  options.rate_sizes = {.memory = 1 << 20, .matrix = 64};
  options.batches = {1, 2};
  options.decode_batches = {2};
  options.prompt = 5;
  options.tokens = 4;
  options.rows = {1, 3};
  return options;
}

TEST(BenchRun, EveryWorkloadGivesItsRows) {
  std::vector<Row> rows;
  double bandwidth = 0;
  EXPECT_TRUE(run_bench(small_options(), {.on_rates = [&](const DeviceRates& rates) { bandwidth = rates.bandwidth.max(); },
                                          .on_row = [&](const Row& row) { rows.push_back(row); }}));
  EXPECT_GT(bandwidth, 0);
  // Two dtypes of: forward, 2 batches x 4 sets; decode, 4 sets; 5 products of 2 numbers of rows; attention, 2 batches and 1; saliency, 2 batches
  // of 3 lines, and one of integrated gradients; patching, 2 lines.
  EXPECT_EQ(rows.size(), 2u * (8 + 4 + 10 + 3 + 7 + 2));
  std::set<std::string> workloads;
  for (const Row& row : rows) {
    SCOPED_TRACE(row.json().dump());
    workloads.insert(row.workload);
    EXPECT_GT(row.floor, 0);
    EXPECT_EQ(row.captured > 0, !row.hooks.empty() && row.hooks != "none");
    const bool too_quick = row.workload == "decode" && row.note.find("--tokens") != std::string::npos;
    EXPECT_TRUE(too_quick || row.seconds.median() > 0);
  }
  EXPECT_EQ(workloads, std::set<std::string>(workload_names().begin(), workload_names().end()));
}

TEST(BenchRun, EndsBetweenTwoMeasurements) {
  int rows = 0;
  EXPECT_FALSE(run_bench(small_options(), {.on_row = [&](const Row&) { ++rows; }, .keep_going = [&] { return rows < 5; }}));
  EXPECT_EQ(rows, 8) << "what was measured together is handed over together";
}

TEST(BenchRun, WhatDoesNotFitIsRefusedBeforeAnythingIsMeasured) {
  BenchOptions options = small_options();
  const BenchSink sink{.on_rates = [](const DeviceRates&) { ADD_FAILURE() << "measured"; }};
  options.prompt = 33;
  EXPECT_USER_ERROR(run_bench(options, sink), "33", "32", "--prompt");
  options.prompt = 5;
  options.decode_prompt = 30;
  EXPECT_USER_ERROR(run_bench(options, sink), "30", "32", "--decode-prompt");
  options = small_options();
  options.device = "gpu";
  EXPECT_USER_ERROR(run_bench(options, sink), "gpu", "cuda");
}

}  // namespace
}  // namespace vitrine::bench
