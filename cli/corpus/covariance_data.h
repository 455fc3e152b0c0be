// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "base/number_table.h"
#include "cli/core/arrays.h"
#include "vitrine/analysis/covariance.h"

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

/// A covariance matrix with names, and what follows from it.
struct NamedCovariance {
  std::string name;  ///< of the site or the file
  std::vector<std::string> variables;
  Covariance covariance;
  std::vector<double> correlation;
  PrincipalComponents components;
};
/// `components`: principal components to keep.
NamedCovariance named_covariance(const std::string& name, std::vector<std::string> variables,
                                 Covariance covariance, int64_t components);

/// Two variables, i < j.
struct Pair {
  int64_t i = 0, j = 0;
};
/// The pairs of largest |correlation|, at most `count`; of equals the first. Pairs without one are
/// left out.
std::vector<Pair> strongest_pairs(const NamedCovariance& result, size_t count);

/// The variables with a variance of 0, which have no correlation.
std::vector<int64_t> constant_variables(const Covariance& covariance);

JsonValue covariance_json(const NamedCovariance& result, size_t pairs);
/// NAME.mean, .covariance, .correlation, .eigenvalues, .components.
void append_arrays(Arrays& arrays, const NamedCovariance& result);

}  // namespace vitrine::cli
