// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/measure/records.h"
#include "cli/core/terminal.h"

namespace vitrine::cli {
using namespace internal;

/// Table format of `vitrine bench`. JSON is written elsewhere.
enum class BenchFormat : uint8_t { kText, kMarkdown, kCsv };

/// A row and what other files have beside it.
struct BenchLine {
  const bench::Row& row;
  std::optional<bench::Compared> before, peer;
};

/// What is one for all rows.
struct BenchColumnsWanted {
  size_t model_width = 5;
  bool device = false, threads = false;  ///< CSV always; else where rows differ in it
  bool loaded = false;                   ///< CSV always; else where it is measured
  bool before = false, peer = false;     ///< whether there is a file to compare with
};

struct BenchColumn;

/// Rows as they come, in columns of a Markdown table or of CSV. Text is such a table, too, as wide
/// as the terminal allows.
class BenchTable {
 public:
  BenchTable(const Terminal& out, BenchFormat format, const BenchColumnsWanted& wanted,
             Json machine);

  std::string head() const;
  std::string line(const BenchLine& line) const;

 private:
  /// A column that is shown, and how wide; in Markdown and CSV columns are as wide as their text.
  struct Shown {
    const BenchColumn* column;
    size_t width;
  };

  void choose(const BenchColumnsWanted& wanted);
  std::string joined(const std::vector<std::string>& cells) const;
  std::string csv(const BenchLine& line) const;

  const Terminal& out_;
  BenchFormat format_;
  Json machine_;
  std::vector<Shown> shown_;
};

}  // namespace vitrine::cli
