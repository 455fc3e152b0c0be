// SPDX-License-Identifier: MIT
#include "cli/corpus/covariance_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/csv.h"
#include "base/quote.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;
namespace {

double number_in(const std::string& field, const std::string& path, const CsvRow& row,
                 const std::string& column) {
  std::string_view text = field;
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    user_error("{}:{}: invalid value {} in column {}: expected a finite number", path, row.line,
               quote(field), quote(column));
  }
  return value;
}

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

/// [n, n] as rows of JSON.
JsonValue matrix_json(const std::vector<double>& values, int64_t columns) {
  JsonValue rows = JsonValue::array();
  for (size_t at = 0; at < values.size(); at += static_cast<size_t>(columns)) {
    rows.push_back(std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(at),
                                       values.begin() + static_cast<std::ptrdiff_t>(at) + columns));
  }
  return rows;
}

}  // namespace

std::vector<double> SeriesTable::series(size_t column) const {
  std::vector<double> found;
  for (size_t at = column; at < values.size(); at += names.size()) found.push_back(values[at]);
  return found;
}

SeriesTable read_series(const std::string& path, const std::string& fweights,
                        const std::string& aweights) {
  const std::vector<CsvRow> rows = parse_csv(read_text(path), path);
  const std::vector<std::string>& header = rows[0].fields;
  const size_t f = find_column(header, fweights, path), a = find_column(header, aweights, path);
  if (!fweights.empty() && f == a)
    user_error("{}: column {} is used for both kinds of weights: expected different columns", path,
               quote(fweights));
  SeriesTable table;
  for (size_t c = 0; c < header.size(); ++c) {
    if (c != f && c != a) table.names.push_back(header[c]);
  }
  if (table.names.empty())
    user_error("{}: missing data: expected a column besides the weights", path);
  if (rows.size() < 2) user_error("{}: missing rows: expected at least two", path);
  for (size_t r = 1; r < rows.size(); ++r) {
    for (size_t c = 0; c < header.size(); ++c) {
      const double value = number_in(rows[r].fields[c], path, rows[r], header[c]);
      if (c == f) {
        if (value < 0 || value != std::floor(value) || value > 1e15)
          user_error("{}:{}: invalid weight {} in column {}: expected an integer", path,
                     rows[r].line, rows[r].fields[c], quote(header[c]));
        table.fweights.push_back(static_cast<int64_t>(value));
      } else if (c == a) {
        if (value < 0)
          user_error("{}:{}: the weight {} in column {} is negative: expected 0 or more", path,
                     rows[r].line, rows[r].fields[c], quote(header[c]));
        table.aweights.push_back(value);
      } else {
        table.values.push_back(value);
      }
    }
  }
  table.observations = static_cast<int64_t>(rows.size()) - 1;
  return table;
}

NamedCovariance named_covariance(const std::string& name, std::vector<std::string> variables,
                                 Covariance covariance, int64_t components) {
  NamedCovariance result{name, std::move(variables), std::move(covariance), {}, {}};
  result.correlation = correlation(result.covariance);
  result.components = principal_components(result.covariance, components);
  return result;
}

std::vector<Pair> strongest_pairs(const NamedCovariance& result, size_t count) {
  const int64_t n = result.covariance.variables;
  const auto strength = [&](const Pair& pair) {
    return std::abs(result.correlation[static_cast<size_t>(pair.i * n + pair.j)]);
  };
  const auto stronger = [&](const Pair& a, const Pair& b) {
    const double x = strength(a), y = strength(b);
    return x != y ? x > y : a.i != b.i ? a.i < b.i : a.j < b.j;
  };
  std::vector<Pair> best;  // a heap whose front is the weakest
  for (int64_t i = 0; i < n && count > 0; ++i) {
    for (int64_t j = i + 1; j < n; ++j) {
      const Pair pair{i, j};
      if (std::isnan(strength(pair)) || (best.size() == count && !stronger(pair, best.front())))
        continue;
      if (best.size() == count) {
        std::pop_heap(best.begin(), best.end(), stronger);
        best.pop_back();
      }
      best.push_back(pair);
      std::push_heap(best.begin(), best.end(), stronger);
    }
  }
  std::sort(best.begin(), best.end(), stronger);
  return best;
}

JsonValue covariance_json(const NamedCovariance& result, size_t pairs) {
  const Covariance& c = result.covariance;
  JsonValue json = {{"name", result.name},
                    {"variables", result.variables},
                    {"observations", c.observations},
                    {"weight", c.weight},
                    {"ddof", c.ddof},
                    {"divisor", c.divisor},
                    {"mean", c.mean},
                    {"covariance", matrix_json(c.values, c.variables)},
                    {"correlation", matrix_json(result.correlation, c.variables)},
                    {"eigenvalues", result.components.eigenvalues},
                    {"explained", result.components.explained},
                    {"components", matrix_json(result.components.components, c.variables)},
                    {"strongest", JsonValue::array()}};
  for (const Pair& pair : strongest_pairs(result, pairs)) {
    json["strongest"].push_back(
        {{"variables",
          {result.variables[static_cast<size_t>(pair.i)],
           result.variables[static_cast<size_t>(pair.j)]}},
         {"indices", {pair.i, pair.j}},
         {"covariance", c.at(pair.i, pair.j)},
         {"correlation", result.correlation[static_cast<size_t>(pair.i * c.variables + pair.j)]}});
  }
  return json;
}

void append_arrays(Arrays& arrays, const NamedCovariance& result) {
  const int64_t n = result.covariance.variables;
  const auto append = [&](const char* what, const std::vector<double>& values, const Shape& shape) {
    arrays.emplace_back(result.name + "." + what, tensor_of(DType::kF64, values, shape));
  };
  append("mean", result.covariance.mean, Shape{n});
  append("covariance", result.covariance.values, Shape{n, n});
  append("correlation", result.correlation, Shape{n, n});
  append("eigenvalues", result.components.eigenvalues, Shape{n});
  append("components", result.components.components, Shape{result.components.count, n});
}

}  // namespace vitrine::cli
