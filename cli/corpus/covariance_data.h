// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/number_table.h"

namespace vitrine::cli {
using namespace internal;

/// Named series of numbers, as a table has them: a column each.
struct SeriesTable {
  std::vector<std::string> names;
  std::vector<double> values;  ///< [observations, names]
  int64_t observations = 0;
  std::vector<int64_t> fweights;  ///< of the column that was named for it; empty: none was
  std::vector<double> aweights;   ///< likewise

  std::vector<double> series(size_t column) const;
};

struct SeriesOptions {
  std::string fweights = {}, aweights = {};  ///< names of the columns of weights; empty: none
  NumberTableOptions table = {};
};

/// Reads a table of text (see NumberTable) or a .npy of [observations, variables], whose columns
/// are called "0", "1", ... The columns named as weights are taken out of the series. Throws Error
/// (user) naming file and place for a value that is not a finite number, a weight that is none, and
/// a column that is not there.
SeriesTable read_series(const std::string& path, const SeriesOptions& options);
/// The same of a matrix as typed: "1 2; 3 4" has the rows 1 2 and 3 4.
SeriesTable parse_series(const std::string& values, const SeriesOptions& options);

}  // namespace vitrine::cli
