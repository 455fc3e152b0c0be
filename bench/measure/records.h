// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "bench/measure/row.h"

namespace vitrine::bench {
using namespace internal;

/// The seconds of a measurement whose single samples are gone.
struct Spread {
  double median = 0, min = 0, max = 0;
  int64_t count = 0;
};

/// A row of another run, or of another program that computes the same.
struct Record {
  std::string key;    ///< as record_key() makes it
  std::string label;  ///< the same for people
  Spread seconds;
};

/// What was measured: model, dtype, device, threads (on a GPU: none), workload, shape and hooks.
std::string record_key(const Row& row);

/// A file of rows: `vitrine bench --json`, or a peer's (docs/BENCHMARKS.md has the format).
struct Records {
  std::string file;
  std::string title;         ///< who measured: "transformers 5.23", "vitrine 0.1.0"
  Json machine;              ///< an object, perhaps empty
  std::vector<Record> rows;  ///< those that have a time
};

/// Throws Error (user) naming the file, the row and the field for whatever is not of the format,
/// and for two rows of one key.
Records read_records(const std::filesystem::path& path);

/// A row and its counterpart.
struct Compared {
  enum class Verdict { kWithinNoise, kFaster, kSlower };

  Spread theirs;
  double ratio = 1;  ///< our median over theirs
  /// kFaster or kSlower only where the two ranges, smallest to largest, do not meet and each is of
  /// two measurements at least.
  Verdict verdict = Verdict::kWithinNoise;

  Json json() const;
};

/// "faster", "slower", "within noise".
const char* verdict_name(Compared::Verdict verdict);

/// Rows as they come beside those of a file.
class Comparison {
 public:
  explicit Comparison(Records records) : records_(std::move(records)), met_(records_.rows.size()) {}

  /// Nothing where the file has no such row, or nothing was measured. Notes which rows were met.
  std::optional<Compared> take(const Row& row);

  const Records& records() const { return records_; }
  /// Where the machines differ, if anywhere: "cpu X, there Y; cores 2, there 8". Facts that one of
  /// them lacks do not count.
  std::string machine_difference(const Json& machine) const;
  const std::vector<std::string>& only_here() const { return only_here_; }
  std::vector<std::string> only_there() const;
  Json json(const Json& machine) const;

 private:
  Records records_;
  std::vector<bool> met_;
  std::vector<std::string> only_here_;
};

}  // namespace vitrine::bench
