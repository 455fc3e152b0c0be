// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "bench/bench.h"
#include "cli/core/context.h"

namespace vitrine::cli {
using namespace internal;

/// Where the results of `vitrine bench` go, beside standard output.
struct BenchOutput {
  std::string format = "text";    ///< "text", "md", "csv" or "json"
  std::string out;                ///< a file for the JSON; empty: none
  std::string compare, baseline;  ///< files with rows to stand beside ours; empty: none
};

/// The options of `vitrine bench`, as they are given.
struct BenchArgs {
  bench::BenchOptions options;
  std::vector<std::string> sizes, dtypes;
  std::string model;
  BenchOutput output;
  bool profile = false;
};

/// Declares the command. `args` must live until it has run.
Command add_bench_options(Command& app, Context& context, BenchArgs& args);

}  // namespace vitrine::cli
