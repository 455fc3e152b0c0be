// SPDX-License-Identifier: MIT
// The whole of a run on a small shape: what was measured, and that its checks are made.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "base/machine.h"
#include "bench/bench.h"
#include "bench/measure/busy_load.h"
#include "bench/measure/records.h"
#include "bench/workloads/hook_sets.h"
#include "tests/base/test_files.h"
#include "tests/engine/test_device.h"
#include "tests/support.h"

namespace vitrine::bench {
using namespace internal;
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
  options.devices = {testing_support::test_device()};
  options.dtypes = {DType::kF32, DType::kBF16};
  options.threads = {1};
  options.workloads = workload_names();
  options.hooks = hook_set_names();
  options.repeat = 1;
  options.rate_sizes = {.memory = 1 << 20, .matrix = 64, .disk = 1 << 16};
  options.batches = {1, 2};
  options.decode_batches = {2};
  options.prompts = {5};
  options.tokens = {4};
  options.rows = {1, 3};
  if (testing_support::on_cpu()) return options;
  options.dtypes = {
      DType::kBF16};  // a device that the processor plays takes a hundred times as long
  options.batches = {2};
  options.hooks = {"none", "everything", "edit"};
  return options;
}

TEST(BenchRun, EveryWorkloadGivesItsRows) {
  std::vector<Row> rows;
  double bandwidth = 0, disk = 0;
  uint64_t steps = 0, announced = 0;
  EXPECT_TRUE(run_bench(small_options(),
                        {.on_disk = [&](const Samples& rate) { disk = rate.max(); },
                         .on_rates =
                             [&](const DeviceRates& rates) {
                               bandwidth = rates.bandwidth.max();
                               EXPECT_EQ(rates.small_pages.empty(), !testing_support::on_cpu());
                               EXPECT_EQ(rates.barrier.empty(), !testing_support::on_cpu());
                             },
                         .on_row = [&](const Row& row) { rows.push_back(row); },
                         .on_step =
                             [&](const std::string&, uint64_t done, uint64_t total) {
                               EXPECT_EQ(done, steps++);
                               announced = total;
                             }}));
  EXPECT_GT(bandwidth, 0);
  EXPECT_GT(disk, 0);
  EXPECT_EQ(steps, announced) << "what is left to do is told rightly";
  const BenchOptions options = small_options();
  const size_t batches = options.batches.size(), sets = options.hooks.size();
  // Of each dtype: forward and prefill, every batch with every set; decode, every set; generate; 5
  // products of 2 numbers of rows; attention, every batch and the last position; saliency, 3 lines
  // a batch, and one of integrated gradients where the batch is 1; patching, 2 lines; score; lens;
  // capture, 3 lines; load. And once the tokenizer, both ways.
  const size_t integrated = options.batches.front() == 1 ? 1 : 0;
  EXPECT_EQ(rows.size(), options.dtypes.size() * (2 * batches * sets + sets + 1 + 10 + batches + 1 +
                                                  3 * batches + integrated + 2 + 6) +
                             2);
  std::set<std::string> workloads, keys;
  for (const Row& row : rows) {
    SCOPED_TRACE(row.json().dump());
    workloads.insert(row.workload);
    EXPECT_GT(row.floor, 0);
    EXPECT_GT(row.peak_bytes, 1u << 20);
    keys.insert(record_key(row));
    if (row.workload == "tokenizer") continue;  // which runs on the host
    if (testing_support::on_cpu()) {  // what the emulated device has free is the host's affair
      EXPECT_EQ(row.device_bytes, 0u);
    }
    EXPECT_EQ(row.threads, testing_support::on_cpu() ? 1 : 0);
    EXPECT_EQ(row.device, testing_support::on_cpu() ? "cpu" : "cuda:0");
    EXPECT_EQ(row.captured > 0,
              row.workload == "capture" ||
                  (!row.hooks.empty() && row.hooks != "none" && row.hooks != "edit"));
    const bool too_quick =
        row.workload == "decode" && row.note.find("--tokens") != std::string::npos;
    EXPECT_TRUE(too_quick || row.seconds.median() > 0);
  }
  EXPECT_EQ(keys.size(), rows.size()) << "no two rows have the same key";
  EXPECT_EQ(workloads, std::set<std::string>(workload_names().begin(), workload_names().end()));
}

TEST(BenchRun, EveryCombinationOfTheListsHasItsRows) {
  BenchOptions options = small_options();
  options.dtypes = {DType::kF32};
  options.workloads = {"forward", "decode"};
  options.hooks = {"none"};
  options.batches = {1};
  options.prompts = {4, 6, 4};  // what is there twice is measured once
  options.decode_prompts = {2, 3};
  options.tokens = {3, 4};
  options.threads = {1, 2};
  std::set<std::string> keys;
  std::set<int> threads;
  size_t rates = 0, rows = 0;
  EXPECT_TRUE(run_bench(options, {.on_rates = [&](const DeviceRates&) { ++rates; },
                                  .on_row =
                                      [&](const Row& row) {
                                        keys.insert(record_key(row)), threads.insert(row.threads),
                                            ++rows;
                                      }}));
  const size_t variants = testing_support::on_cpu() ? 2 : 1;  // a GPU has no threads to count
  EXPECT_EQ(rates, variants);
  EXPECT_EQ(threads.size(), variants);
  EXPECT_EQ(rows, variants * (2 + 2 * 2)) << "what is named twice is measured once";
  EXPECT_EQ(keys.size(), rows) << "no two rows have the same key";
}

TEST(BenchRun, BesideLoadEverythingIsMeasuredTwice) {
  BenchOptions options = small_options();
  options.beside_load = true;
  options.dtypes = {options.dtypes.front()};
  options.workloads = {"forward", "generate", "linear"};
  options.hooks = {"none", "residual"};
  options.rows = {1};
  size_t rows = 0;
  EXPECT_TRUE(run_bench(options, {.on_row = [&](const Row& row) {
                          SCOPED_TRACE(row.json().dump());
                          ++rows;
                          ASSERT_EQ(row.loaded.values.size(), row.seconds.values.size());
                          ASSERT_EQ(row.loaded_ratio.values.size(), 1u);
                          EXPECT_GT(row.loaded.median(), 0);
                          EXPECT_DOUBLE_EQ(row.loaded_ratio.median(),
                                           row.loaded.median() / row.seconds.median());
                        }}));
  EXPECT_GT(rows, 0u);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "no process is left";
}

/// 'R' for a process that runs, 'T' for a stopped one, '?' for none.
char process_state(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string number, name;
  char state = '?';
  file >> number >> name >> state;
  return state;
}

TEST(BusyLoad, RunsOnEachProcessorUntilItEnds) {
  std::vector<pid_t> processes;
  {
    BusyLoad load;
    processes = load.processes();
    EXPECT_EQ(processes.size(), allowed_processors().size());
    load.go_on();  // it does already
    load.stop();
    load.stop();
    for (const pid_t process : processes) EXPECT_EQ(process_state(process), 'T');
    load.go_on();
    for (const pid_t process : processes) {
      EXPECT_EQ(process_state(process), 'R');
      cpu_set_t set;
      ASSERT_EQ(sched_getaffinity(process, sizeof set, &set), 0);
      EXPECT_EQ(CPU_COUNT(&set), 1);
    }
    load.stop();  // stopped ones end, too
  }
  for (const pid_t process : processes) EXPECT_EQ(process_state(process), '?');
}

TEST(BenchRun, LeavesNothingBehindWhereItWrote) {
  testing::TempFolder folder;
  BenchOptions options = small_options();
  options.workloads = {"capture", "load"};
  options.scratch = folder.path();
  size_t there = 0;
  EXPECT_TRUE(
      run_bench(options, {.on_row = [&](const Row&) { there = std::max(there, folder.count()); }}));
  EXPECT_EQ(there, 1u) << "it writes there";
  EXPECT_EQ(folder.count(), 0u);
  const BenchSink refused{.on_rates = [](const DeviceRates&) { ADD_FAILURE() << "measured"; }};
  options.scratch = folder / "absent";
  EXPECT_USER_ERROR(run_bench(options, refused), "absent", "--scratch");
  options.workloads = {"tokenizer"};
  options.text = folder / "no text";
  EXPECT_USER_ERROR(run_bench(options, refused), "no text");
}

TEST(BenchRun, EndsBetweenTwoMeasurements) {
  int rows = 0;
  EXPECT_FALSE(run_bench(small_options(), {.on_row = [&](const Row&) { ++rows; },
                                           .keep_going = [&] { return rows < 5; }}));
  EXPECT_EQ(rows, 6) << "what was measured together is handed over together";
}

TEST(BenchRun, WhatDoesNotFitIsRefusedBeforeAnythingIsMeasured) {
  BenchOptions options = small_options();
  const BenchSink sink{.on_rates = [](const DeviceRates&) { ADD_FAILURE() << "measured"; }};
  options.prompts = {5, 33};
  EXPECT_USER_ERROR(run_bench(options, sink), "33", "32", "--prompt");
  options.prompts = {5};
  options.decode_prompts = {3, 30};
  EXPECT_USER_ERROR(run_bench(options, sink), "30", "32", "--decode-prompt");
  options = small_options();
  options.devices = {testing_support::test_device(), "gpu"};
  EXPECT_USER_ERROR(run_bench(options, sink), "gpu", "cuda");
}

}  // namespace
}  // namespace vitrine::bench
