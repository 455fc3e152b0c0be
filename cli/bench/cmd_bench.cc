// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "base/check.h"
#include "base/profile.h"
#include "base/quote.h"
#include "bench/bench.h"
#include "bench/measure/sizes.h"
#include "bench/workloads/hook_sets.h"
#include "cli/bench/bench_report.h"
#include "cli/core/context.h"
#include "cli/core/interrupt.h"
#include "cli/core/progress_bar.h"

namespace vitrine::cli {
using namespace internal;
namespace {

using bench::BenchOptions;
using bench::DeviceRates;
using bench::Row;

/// Throws Error (user) for a word that is not among `known`.
void check_words(const char* option, const std::vector<std::string>& words,
                 const std::vector<std::string>& known) {
  for (const std::string& word : words) {
    if (std::find(known.begin(), known.end(), word) == known.end()) {
      user_error("{}: unknown {}: expected a comma-separated list of {}", option, quote(word),
                 fmt::join(known, ","));
    }
  }
}

BenchOptions complete(const BenchArgs& args) {
  BenchOptions options = args.options;
  check_words("--size", args.sizes, bench::size_names());
  check_words("--dtype", args.dtypes, {"f32", "f16", "bf16", "int8"});
  check_words("--workload", options.workloads, bench::workload_names());
  check_words("--hooks", options.hooks, bench::hook_set_names());
  for (const std::string& size : args.sizes)
    options.subjects.push_back({size, bench::size_config(size)});
  if (!args.model.empty()) options.subjects.push_back({args.model});
  if (options.subjects.empty()) options.subjects.push_back({"gpt2", bench::size_config("gpt2")});
  options.dtypes.clear();
  for (const std::string& name : args.dtypes) options.dtypes.push_back(dtype_from_name(name));
  if (options.workloads.empty()) options.workloads = bench::workload_names();
  return options;
}

void run(const Context& context, const BenchArgs& args) {
  const BenchOptions options = complete(args);
  if (args.profile) set_profiling(true);
  BenchReport report(context, args.output, options);
  bool finished = false;
  std::set<std::string> warned;
  {
    ProgressBar progress({.unit = "measurements", .stops = false});
    finished = bench::run_bench(
        options,
        {.on_disk = [&](const bench::Samples& rate) { report.take_disk(rate); },
         .on_rates = [&](const DeviceRates& rates) { progress.erase(), report.take(rates); },
         .on_row = [&](const Row& row) { progress.erase(), report.take(row); },
         .on_warning =
             [&](const std::string& line) {
               progress.erase();
               if (warned.insert(line).second) warn(line);
             },
         .on_step = [&](const std::string& what, uint64_t done,
                        uint64_t total) { progress.update(done, total, what); },
         .keep_going = [&] { return !interrupted(); }});
  }
  report.finish(finished);
  if (!finished) stop_if_interrupted();
}

}  // namespace

void add_bench(Command& app, Context& context) {
  const auto args = std::make_shared<BenchArgs>();
  add_bench_options(app, context, *args).callback([&context, args] {
    context.action = [&context, args] { run(context, *args); };
  });
}

}  // namespace vitrine::cli
