// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json_value.h"
#include "report/names.h"
#include "report/panels.h"
#include "report/token_table.h"
#include "vitrine/report/figure.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

// One description of a result. JSON, arrays, CSV, a page's data and its tables derive from axes and
// tables; terminal and figure draw panels. docs/HACKING.md, "How a result is described".

struct TokenIds {
  std::vector<int32_t> ids;
};

/// Values of one type, row-major. JsonValue: what is not one number each, in JSON only. NaN,
/// kNoNumber and a negative id are no value: null in JSON, empty in CSV.
using Column =
    std::variant<std::vector<double>, std::vector<float>, std::vector<int32_t>,
                 std::vector<int64_t>, std::vector<std::string>, TokenIds, std::vector<JsonValue>>;
constexpr int32_t kNoNumber = std::numeric_limits<int32_t>::min();

/// `of(item)` of each item.
template <typename Items, typename Of>
auto column_of(const Items& items, Of of) {
  std::vector<std::decay_t<decltype(of(*std::begin(items)))>> values;
  values.reserve(std::size(items));
  for (const auto& item : items) values.push_back(of(item));
  return values;
}

/// `first`, `first` + 1, ...
std::vector<int32_t> numbered(size_t count, int32_t first = 0);
std::vector<double> probabilities(const std::vector<double>& log_probabilities);

/// What values are listed over, with a label for each place.
struct Axis {
  std::string name;  ///< "site"
  Column labels;
  bool counted = false;  ///< labels only count places: they are left out of JSON and arrays
  /// Ragged: how many places there are at each place of the axis before; empty: all. CSV and tables
  /// leave out the others.
  std::vector<int64_t> lengths = {};
  bool padded = false;  ///< values at the others mean nothing: a page does not hold them
};

struct Field {
  std::string name;
  Column values;          ///< over the axes of the table, those of its parents first
  std::string unit = {};  ///< "nats"; empty: none
  bool derived = false;   ///< a function of another field, in JSON and CSV only
};

/// Fields over the same axes. In JSON:
///   without an axis          an object
///   with axes                a list of objects, which begin with the axes' labels
///   one field without a name nested lists of its values, a level an axis
///   neither field nor part   the labels of its axis
///   without name and axes    fields of the result itself
/// A part adds its axes to those of its parent and belongs to each of its objects. A field has one
/// name everywhere: that of JSON, with the names of the parts it is in before it ("target_rank").
struct Table {
  std::string name;
  std::vector<std::string> axes = {};
  std::vector<Field> fields = {};
  std::vector<Table> parts = {};
};

struct Result {
  std::string view;   ///< script of the page: report/assets/VIEW.js
  std::string title;  ///< of the page
  std::string help;   ///< how to read the page, a sentence or two
  std::string label;  ///< of this result among others: the beginning of its text
  JsonValue facts = JsonValue::object();  ///< words and settings, by name, in JSON and page
  // What only the page shows.
  JsonValue shown = JsonValue::object();
  std::vector<Axis> lists = {};
  std::vector<Axis> axes = {};
  std::vector<Table> tables = {};
  std::vector<std::string> cells = {};  ///< axes of the flat table; empty: those of the last table
  std::vector<Panel> panels = {};
  /// In arrays only, under names of their own: values that are too many for text, and those that a
  /// command reads back.
  std::vector<std::pair<std::string, Tensor>> arrays = {};
  size_t max_cells = 2'100'000;                            ///< of a page, all results together
  size_t max_panels = std::numeric_limits<size_t>::max();  ///< of a figure
};

/// A field with its whole name and the axes it is over, as places in Result::axes.
struct Leaf {
  std::string name;
  const Field* field;
  std::vector<size_t> axes;
};
/// All fields, table by table.
std::vector<Leaf> leaves(const Result& result);
size_t column_size(const Column& column);
const Axis& axis_of(const Result& result, const std::string& name);

/// A row for each cell: the labels of its axes, the fields over some of these axes, and those over
/// all of them and one more, a column for each place (up to 64).
struct FlatTable {
  struct Column {
    std::string name, unit;
    std::string source;  ///< name of the field or the axis
    const internal::Column* values;
    size_t offset;
    std::vector<size_t> strides;  ///< [axes of the table]
    bool derived;
  };
  std::vector<size_t> sizes;     ///< [axes]
  std::vector<int64_t> lengths;  ///< of the last axis; see Axis
  std::vector<Column> columns;
};
FlatTable flat_table(const Result& result, const Names& names);

/// Everything, without `panels`.
JsonValue result_json(const Result& result, const Names& names);
/// Every number as an array "NAME.INDEX" of the fields' shape, labels of axes included; labels that
/// are text, and `facts`, as JSON in `metadata`.
void add_arrays(const Result& result, size_t index,
                std::vector<std::pair<std::string, Tensor>>& arrays,
                std::map<std::string, std::string>& metadata);
/// Flat tables below each other, with the number of the result first and a line of names.
std::string results_csv(std::span<const Result> results, const Names& names);
/// The page of at least one result. Throws Error (user) for more than `max_cells` together.
std::string results_page(std::span<const Result> results, const PageSource& source);
/// All panels below each other. Throws Error (user) for more than `max_panels`.
std::string results_figure(std::span<const Result> results, FigureFormat format);

/// The descriptions of several results.
template <typename Found, typename Describe>
std::vector<Result> described(std::span<const Found> found, Describe describe) {
  std::vector<Result> results;
  for (const Found& each : found) results.push_back(describe(each));
  return results;
}

}  // namespace vitrine::internal
