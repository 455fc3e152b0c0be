// SPDX-License-Identifier: MIT
#include "cli/corpus/covariance_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/npy.h"
#include "base/quote.h"
#include "base/text_file.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// The index of a named column; the number of columns for an empty name.
size_t find_column(const std::vector<std::string>& header, const std::string& name,
                   const std::string& path) {
  const auto at =
      static_cast<size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  if (name.empty()) return header.size();
  if (at == header.size())
    user_error("{}:1: missing column {} of weights: expected one of {}", path, quote(name),
               fmt::join(header, ","));
  return at;
}

void check_weight(double value, bool frequency, const std::string& place,
                  const std::string& column) {
  if (frequency && (value < 0 || value != std::floor(value) || value > 1e15))
    user_error("{}: invalid weight {} in column {}: expected an integer >= 0", place, value,
               quote(column));
  if (value < 0)
    user_error("{}: the weight {} in column {} is negative: expected 0 or more", place, value,
               quote(column));
}

/// Sorts the columns of `names` into series and weights. `number` gives the value of a row and a
/// column, `place` its place for errors.
template <typename Number, typename Place>
SeriesTable sorted_series(const std::vector<std::string>& names, size_t rows,
                          const std::string& path, const SeriesOptions& options,
                          const Number& number, const Place& place) {
  const size_t f = find_column(names, options.fweights, path),
               a = find_column(names, options.aweights, path);
  if (!options.fweights.empty() && f == a)
    user_error("{}: column {} is used for both kinds of weights: expected different columns", path,
               quote(options.fweights));
  SeriesTable table;
  for (size_t c = 0; c < names.size(); ++c) {
    if (c != f && c != a) table.names.push_back(names[c]);
  }
  if (table.names.empty())
    user_error("{}: missing data: expected a column besides the weights", path);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < names.size(); ++c) {
      const double value = number(r, c);
      if (c == f || c == a) check_weight(value, c == f, place(r, c), names[c]);
      if (c == f)
        table.fweights.push_back(static_cast<int64_t>(value));
      else
        (c == a ? table.aweights : table.values).push_back(value);
    }
  }
  table.observations = static_cast<int64_t>(rows);
  return table;
}

SeriesTable series_of_text(const std::string& text, const std::string& path,
                           const SeriesOptions& options) {
  const NumberTable table(text, path, options.table);
  return sorted_series(
      table.names(), table.rows(), path, options,
      [&](size_t r, size_t c) { return table.number(r, c); },
      [&](size_t r, size_t c) { return table.place(r, c); });
}

/// [observations, variables], or with rows_are_variables the transpose; a vector is one variable.
SeriesTable series_of_array(const std::string& path, const SeriesOptions& options) {
  if (options.table.header)
    user_error("{}: a .npy file has no header: leave --header and --no-header out", path);
  const Tensor tensor = read_npy(path);
  const int rank = tensor.shape().rank();
  if (rank < 1 || rank > 2 || tensor.elements() == 0)
    user_error("{}: has shape {}: expected [observations, variables], or one axis of observations",
               path, tensor.shape().to_string());
  const bool turned = options.table.rows_are_variables && rank == 2;
  const auto columns = static_cast<size_t>(rank == 1 ? 1 : tensor.shape()[turned ? 0 : 1]),
             rows = static_cast<size_t>(tensor.elements()) / columns;
  const std::vector<double> values = to_f64(tensor);
  std::vector<std::string> names;
  for (size_t c = 0; c < columns; ++c) names.push_back(std::to_string(c));
  const auto place = [&](size_t r, size_t c) {
    return turned ? fmt::format("{}: element [{}, {}]", path, c, r)
                  : fmt::format("{}: element [{}, {}]", path, r, c);
  };
  return sorted_series(
      names, rows, path, options,
      [&](size_t r, size_t c) {
        const double value = values[turned ? c * rows + r : r * columns + c];
        if (!std::isfinite(value))
          user_error("{} is {}: expected finite numbers", place(r, c), value);
        return value;
      },
      place);
}

}  // namespace

std::vector<double> SeriesTable::series(size_t column) const {
  std::vector<double> found;
  for (size_t at = column; at < values.size(); at += names.size()) found.push_back(values[at]);
  return found;
}

SeriesTable read_series(const std::string& path, const SeriesOptions& options) {
  return path.ends_with(".npy") ? series_of_array(path, options)
                                : series_of_text(read_text(path), path, options);
}

SeriesTable parse_series(const std::string& values, const SeriesOptions& options) {
  std::string text = values;
  std::replace(text.begin(), text.end(), ';', '\n');
  std::replace(text.begin(), text.end(), ',', ' ');
  SeriesOptions plain = options;
  plain.table.header = false;
  if (text.find_first_not_of(" \t\r\n") == std::string::npos)
    user_error("--values is empty: expected numbers, such as \"1 2; 3 4\"");
  return series_of_text(text, "--values", plain);
}

}  // namespace vitrine::cli
