// SPDX-License-Identifier: MIT
#include "report/result.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>

#include "base/check.h"
#include "base/csv.h"
#include "report/figures/figure.h"
#include "report/packed.h"
#include "report/page.h"

namespace vitrine::internal {
namespace {

constexpr size_t kMaxSpread = 64;

template <typename... Each>
struct Overloaded : Each... {
  using Each::operator()...;
};
template <typename... Each>
Overloaded(Each...) -> Overloaded<Each...>;

size_t place_of(const Result& result, const std::string& name) {
  const auto found = std::ranges::find(result.axes, name, &Axis::name);
  if (found == result.axes.end()) internal_error("unknown axis '{}' of a result", name);
  return static_cast<size_t>(found - result.axes.begin());
}

size_t size_of(const Result& result, size_t axis) { return column_size(result.axes[axis].labels); }

void collect(const Result& result, const Table& table, const std::string& prefix, bool part,
             std::vector<size_t> axes, std::vector<Leaf>& to) {
  for (const std::string& axis : table.axes) axes.push_back(place_of(result, axis));
  const std::string name = part ? prefix + table.name : "";
  for (const Field& field : table.fields) {
    const std::string own = field.name.empty() ? (part ? name : table.name)
                            : part             ? name + "_" + field.name
                                               : field.name;
    size_t cells = 1;
    for (const size_t axis : axes) cells *= size_of(result, axis);
    if (column_size(field.values) != cells)
      internal_error("field '{}' of a result has {} values, not {}", own, column_size(field.values),
                     cells);
    to.push_back({own, &field, axes});
  }
  for (const Table& each : table.parts)
    collect(result, each, part ? name + "_" : "", true, axes, to);
}

/// Row-major strides of a field's axes, for those of a table; others are left out.
std::vector<size_t> strides_of(const Result& result, const Leaf& leaf,
                               const std::vector<size_t>& table, size_t extra, size_t& across) {
  std::vector<size_t> strides(table.size(), 0);
  size_t stride = 1;
  for (size_t i = leaf.axes.size(); i-- > 0;) {
    const auto at = std::ranges::find(table, leaf.axes[i]);
    if (at != table.end()) strides[static_cast<size_t>(at - table.begin())] = stride;
    if (leaf.axes[i] == extra) across = stride;
    stride *= size_of(result, leaf.axes[i]);
  }
  return strides;
}

JsonValue value_json(const Column& column, size_t i, const Names& names) {
  return std::visit(Overloaded{[&](const TokenIds& tokens) {
                                 const int32_t id = tokens.ids[i];
                                 return id < 0 ? JsonValue(nullptr) : names.json(id);
                               },
                               [&](const std::vector<int32_t>& values) {
                                 const int32_t value = values[i];
                                 return value == kNoNumber ? JsonValue(nullptr) : JsonValue(value);
                               },
                               [&](const auto& values) { return JsonValue(values[i]); }},
                    column);
}

std::string value_text(const Column& column, size_t i, const Names& names) {
  const auto number = [](double value) {
    return std::isnan(value) ? std::string() : fmt::format("{}", value);
  };
  return std::visit(
      Overloaded{
          [&](const TokenIds& tokens) {
            return tokens.ids[i] < 0 ? std::string() : names.text(tokens.ids[i]);
          },
          [&](const std::vector<std::string>& texts) { return texts[i]; },
          [&](const std::vector<double>& values) { return number(values[i]); },
          [&](const std::vector<float>& values) { return number(static_cast<double>(values[i])); },
          [&](const std::vector<int32_t>& values) {
            return values[i] == kNoNumber ? std::string() : std::to_string(values[i]);
          },
          [&](const std::vector<JsonValue>& values) { return values[i].dump(); },
          [&](const auto& values) { return std::to_string(values[i]); }},
      column);
}

/// JSON of a result's tables.
class TableJson {
 public:
  TableJson(const Result& result, const Names& names) : result_(result), names_(names) {}

  /// Of the object with number `parent` of the table that this one is a part of.
  JsonValue of(const Table& table, size_t parent, bool part) const {
    std::vector<const Axis*> axes;
    size_t count = 1;
    for (const std::string& axis : table.axes) {
      axes.push_back(&axis_of(result_, axis));
      count *= column_size(axes.back()->labels);
    }
    if (table.fields.empty() && table.parts.empty()) return list(axes[0]->labels);
    if (table.fields.size() == 1 && table.fields[0].name.empty())
      return nested(table.fields[0].values, axes, 0, parent);
    JsonValue objects = JsonValue::array();
    const auto exists = [&](size_t at) {
      if (axes.empty() || axes.back()->lengths.empty()) return true;
      const size_t size = column_size(axes.back()->labels);
      return static_cast<int64_t>(at % size) < axes.back()->lengths[at / size];
    };
    for (size_t i = 0; i < count; ++i) {
      if (!exists(parent * count + i)) continue;
      JsonValue object = JsonValue::object();
      size_t rest = i;
      for (size_t axis = axes.size(); axis-- > 0 && !part;) {
        const size_t size = column_size(axes[axis]->labels);
        if (!axes[axis]->counted)
          object[axes[axis]->name] = value_json(axes[axis]->labels, rest % size, names_);
        rest /= size;
      }
      add(table, parent * count + i, object);
      if (axes.empty()) return object;
      objects.push_back(std::move(object));
    }
    return objects;
  }
  void add(const Table& table, size_t at, JsonValue& object) const {
    for (const Field& field : table.fields)
      object[field.name] = value_json(field.values, at, names_);
    for (const Table& each : table.parts) object[each.name] = of(each, at, true);
  }

 private:
  JsonValue list(const Column& column) const {
    JsonValue values = JsonValue::array();
    for (size_t i = 0; i < column_size(column); ++i)
      values.push_back(value_json(column, i, names_));
    return values;
  }
  JsonValue nested(const Column& values, const std::vector<const Axis*>& axes, size_t level,
                   size_t at) const {
    if (level == axes.size()) return value_json(values, at, names_);
    JsonValue inner = JsonValue::array();
    const size_t size = column_size(axes[level]->labels);
    for (size_t i = 0; i < size; ++i)
      inner.push_back(nested(values, axes, level + 1, at * size + i));
    return inner;
  }

  const Result& result_;
  const Names& names_;
};

/// A copy of the values as a tensor; nothing for what is not a number each.
Tensor tensor_of(const Column& column, const Shape& shape) {
  const auto copy = [&](DType dtype, const auto& values) {
    Tensor tensor(dtype, shape);
    if (!values.empty()) std::memcpy(tensor.data(), values.data(), tensor.view().bytes());
    return tensor;
  };
  return std::visit(
      Overloaded{[&](const std::vector<double>& values) { return copy(DType::kF64, values); },
                 [&](const std::vector<float>& values) { return copy(DType::kF32, values); },
                 [&](const std::vector<int32_t>& values) { return copy(DType::kI32, values); },
                 [&](const std::vector<int64_t>& values) { return copy(DType::kI64, values); },
                 [&](const TokenIds& tokens) { return copy(DType::kI32, tokens.ids); },
                 [&](const auto&) { return Tensor(); }},
      column);
}

bool is_json(const Column& column) {
  return std::holds_alternative<std::vector<JsonValue>>(column);
}

bool is_number(const Column& column) {
  return !std::holds_alternative<std::vector<std::string>>(column) && !is_json(column);
}

JsonValue packed_column(const Column& column, TokenTable& tokens) {
  return std::visit(
      Overloaded{[&](const TokenIds& ids) { return tokens.places(ids.ids); },
                 [&](const std::vector<std::string>& texts) { return JsonValue(texts); },
                 [&](const std::vector<JsonValue>& values) { return JsonValue(values); },
                 [&](const auto& values) { return packed(values); }},
      column);
}

/// A column's name with its unit.
std::string heading(const FlatTable::Column& column) {
  return column.unit.empty() ? column.name : column.name + " (" + column.unit + ")";
}

/// What V.flat() in base.js reads.
JsonValue flat_json(const Result& result, const Names& names) {
  const FlatTable flat = flat_table(result, names);
  JsonValue columns = JsonValue::array();
  for (const FlatTable::Column& each : flat.columns) {
    if (each.derived) continue;
    columns.push_back({{"name", heading(each)},
                       {"source", each.source},
                       {"tokens", std::holds_alternative<TokenIds>(*each.values)},
                       {"offset", each.offset},
                       {"strides", column_of(each.strides, [](size_t n) { return int64_t(n); })}});
  }
  return {{"sizes", column_of(flat.sizes, [](size_t n) { return int64_t(n); })},
          {"lengths", flat.lengths},
          {"columns", std::move(columns)}};
}

/// A page's field, without the padding of a ragged axis: V.unpack() puts NaN there. Of causal maps
/// it is half of the page.
JsonValue packed_leaf(const Result& result, const Leaf& leaf, TokenTable& tokens) {
  if (leaf.axes.size() < 2 || !result.axes[leaf.axes.back()].padded)
    return packed_column(leaf.field->values, tokens);
  const std::vector<int64_t>& lengths = result.axes[leaf.axes.back()].lengths;
  const size_t size = size_of(result, leaf.axes.back());
  const auto rows = [&](const auto& values) {
    std::decay_t<decltype(values)> there;
    for (size_t row = 0; row * size < values.size(); ++row) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row * size);
      there.insert(there.end(), begin, begin + lengths[row % lengths.size()]);
    }
    JsonValue json = packed(there);
    json["lengths"] = lengths;
    json["size"] = static_cast<int64_t>(size);
    return json;
  };
  return std::visit(
      Overloaded{[&](const std::vector<double>& values) { return rows(values); },
                 [&](const std::vector<float>& values) { return rows(values); },
                 [&](const auto&) { return packed_column(leaf.field->values, tokens); }},
      leaf.field->values);
}

/// Rows of a flat table.
size_t rows_of(const FlatTable& flat) {
  size_t rows = 1;
  for (const size_t size : flat.sizes) rows *= size;
  if (flat.lengths.empty()) return rows;
  const auto seen = std::accumulate(flat.lengths.begin(), flat.lengths.end(), int64_t{0});
  return rows / (flat.sizes.back() * flat.lengths.size()) * static_cast<size_t>(seen);
}

JsonValue page_data(const Result& result, TokenTable& tokens, const Names& names) {
  JsonValue data = result.facts;
  data.update(result.shown);
  data["label"] = result.label;
  for (const auto* named : {&result.axes, &result.lists}) {
    for (const Axis& each : *named) data[each.name] = packed_column(each.labels, tokens);
  }
  for (const Leaf& leaf : leaves(result)) {
    if (!leaf.field->derived && !is_json(leaf.field->values))
      data[leaf.name] = packed_leaf(result, leaf, tokens);
  }
  data["flat"] = flat_json(result, names);
  return data;
}

}  // namespace

size_t column_size(const Column& column) {
  return std::visit(Overloaded{[](const TokenIds& tokens) { return tokens.ids.size(); },
                               [](const auto& values) { return values.size(); }},
                    column);
}

std::vector<int32_t> numbered(size_t count, int32_t first) {
  std::vector<int32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

std::vector<double> probabilities(const std::vector<double>& log_probabilities) {
  return column_of(log_probabilities, [](double value) { return std::exp(value); });
}

const Axis& axis_of(const Result& result, const std::string& name) {
  return result.axes[place_of(result, name)];
}

std::vector<Leaf> leaves(const Result& result) {
  std::vector<Leaf> all;
  for (const Table& table : result.tables) collect(result, table, "", false, {}, all);
  return all;
}

FlatTable flat_table(const Result& result, const Names& names) {
  FlatTable flat;
  std::vector<size_t> axes;
  for (const std::string& name : result.cells.empty() ? result.tables.back().axes : result.cells)
    axes.push_back(place_of(result, name));
  for (size_t i = 0; i < axes.size(); ++i) {
    const Axis& axis = result.axes[axes[i]];
    flat.sizes.push_back(column_size(axis.labels));
    std::vector<size_t> strides(axes.size(), 0);
    strides[i] = 1;
    flat.columns.push_back({axis.name, "", axis.name, &axis.labels, 0, strides, false});
  }
  if (axes.size() > 1) flat.lengths = result.axes[axes.back()].lengths;
  for (const Leaf& leaf : leaves(result)) {
    std::vector<size_t> more;
    std::ranges::copy_if(leaf.axes, std::back_inserter(more),
                         [&](size_t axis) { return std::ranges::find(axes, axis) == axes.end(); });
    const size_t extra = more.empty() ? result.axes.size() : more[0];
    const size_t places = more.empty() ? 1 : size_of(result, extra);
    const bool beside = more.size() == 1 && leaf.axes.size() == axes.size() + 1;
    if (leaf.axes.empty() || is_json(leaf.field->values) || (!more.empty() && !beside) ||
        places > kMaxSpread)
      continue;
    size_t across = 0;
    const std::vector<size_t> strides = strides_of(result, leaf, axes, extra, across);
    for (size_t place = 0; place < places; ++place) {
      std::string name = leaf.name;
      if (!more.empty()) {
        const Axis& axis = result.axes[extra];
        const std::string label = value_text(axis.labels, place, names);
        const bool named = name.starts_with(axis.name + "_");
        name = named ? axis.name + "_" + label + name.substr(axis.name.size()) : name + "_" + label;
      }
      flat.columns.push_back({name, leaf.field->unit, leaf.name, &leaf.field->values,
                              place * across, strides, leaf.field->derived});
    }
  }
  return flat;
}

JsonValue result_json(const Result& result, const Names& names) {
  const TableJson json(result, names);
  JsonValue object = result.facts;
  for (const Table& table : result.tables) {
    if (table.name.empty())
      json.add(table, 0, object);
    else
      object[table.name] = json.of(table, 0, false);
  }
  return object;
}

void add_arrays(const Result& result, size_t index,
                std::vector<std::pair<std::string, Tensor>>& arrays,
                std::map<std::string, std::string>& metadata) {
  metadata[fmt::format("facts.{}", index)] = result.facts.dump();
  const auto add = [&](const std::string& name, const Column& column, const Shape& shape) {
    if (is_number(column))
      arrays.emplace_back(fmt::format("{}.{}", name, index), tensor_of(column, shape));
  };
  for (const Axis& axis : result.axes) {
    if (axis.counted) continue;
    add(axis.name, axis.labels, {static_cast<int64_t>(column_size(axis.labels))});
    if (const auto* texts = std::get_if<std::vector<std::string>>(&axis.labels))
      metadata[fmt::format("{}.{}", axis.name, index)] = JsonValue(*texts).dump();
  }
  for (const Leaf& leaf : leaves(result)) {
    if (leaf.field->derived) continue;
    const auto sizes = column_of(
        leaf.axes, [&](size_t axis) { return static_cast<int64_t>(size_of(result, axis)); });
    add(leaf.name, leaf.field->values, Shape(sizes));
  }
  for (const auto& [name, tensor] : result.arrays) arrays.emplace_back(name, tensor);
}

std::string results_csv(std::span<const Result> results, const Names& names) {
  std::string csv, head;
  for (size_t r = 0; r < results.size(); ++r) {
    const FlatTable flat = flat_table(results[r], names);
    std::string line = "result";
    for (const FlatTable::Column& each : flat.columns) line += "," + csv_field(heading(each));
    // Results of other columns, such as other watched tokens, begin with their own names.
    if (line != head) csv += (head = line) + "\n";
    size_t rows = 1;
    for (const size_t size : flat.sizes) rows *= size;
    for (size_t row = 0; row < rows; ++row) {
      const size_t last = flat.sizes.back();
      if (!flat.lengths.empty() &&
          static_cast<int64_t>(row % last) >= flat.lengths[row / last % flat.lengths.size()])
        continue;
      csv += std::to_string(r);
      for (const FlatTable::Column& each : flat.columns) {
        size_t at = each.offset, rest = row;
        for (size_t axis = flat.sizes.size(); axis-- > 0; rest /= flat.sizes[axis])
          at += each.strides[axis] * (rest % flat.sizes[axis]);
        csv += "," + csv_field(value_text(*each.values, at, names));
      }
      csv += "\n";
    }
  }
  return csv;
}

std::string results_page(std::span<const Result> results, const PageSource& source) {
  const Names names(source.tokenizer);
  TokenTable tokens(source.tokenizer);
  Page page{.kind = results[0].view,
            .title = results[0].title,
            .subtitle = results[0].label,
            .help = results[0].help};
  const bool mixed = std::ranges::any_of(
      results, [&](const Result& result) { return result.title != results[0].title; });
  size_t cells = 0;
  for (const Result& result : results) {
    cells += rows_of(flat_table(result, names));
    if (cells > result.max_cells)
      user_error("{} {} page is limited to {} cells: use fewer positions, layers or texts",
                 result.view[0] == 'a' ? "an" : "a", result.view, result.max_cells);
    JsonValue data = page_data(result, tokens, names);
    if (mixed) data["heading"] = {{"title", result.title}, {"help", result.help}};
    page.results.push_back(std::move(data));
  }
  return render(page, tokens, source);
}

std::string results_figure(std::span<const Result> results, FigureFormat format) {
  std::vector<Panel> panels;
  for (const Result& result : results)
    panels.insert(panels.end(), result.panels.begin(), result.panels.end());
  if (!results.empty() && panels.size() > results[0].max_panels)
    user_error("a figure is limited to {} pictures, not {}: use fewer layers, heads or texts",
               results[0].max_panels, panels.size());
  return draw_figure(std::move(panels), format);
}

}  // namespace vitrine::internal
