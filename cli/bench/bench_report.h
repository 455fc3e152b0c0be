// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "base/atomic_file.h"
#include "bench/bench.h"
#include "bench/measure/records.h"
#include "cli/bench/bench_options.h"
#include "cli/bench/bench_table.h"
#include "cli/core/context.h"

namespace vitrine::cli {
using namespace internal;

/// What was measured, shown as it comes and kept for the JSON.
class BenchReport {
 public:
  /// Throws Error (user) at once for a file that cannot be written or compared with. Keeps the
  /// references.
  BenchReport(const Context& context, const BenchOutput& output,
              const bench::BenchOptions& options);

  void take_disk(const bench::Samples& bytes_per_second);
  void take(const bench::DeviceRates& rates);
  void take(const bench::Row& row);
  /// What is said at the end, be it the user's.
  void finish(bool complete);

 private:
  BenchTable make_table() const;
  bool for_people() const { return format_ == "text" || format_ == "md"; }
  void print_machine() const;
  void print_rates(const bench::DeviceRates& rates) const;
  void print_comparison(const bench::Comparison& comparison, bool list_ours) const;
  /// A line about the run: dim as text, quoted as Markdown, nothing in the other formats.
  void say(const std::string& name, const std::string& value) const;

  const Context& context_;
  const bench::BenchOptions& options_;
  std::string format_;
  std::optional<AtomicFile> file_;
  std::optional<bench::Comparison> before_, peer_;
  Json json_;
  BenchTable table_;
  bool begun_ = false;
};

}  // namespace vitrine::cli
