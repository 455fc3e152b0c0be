// SPDX-License-Identifier: MIT
#include "cli/predictivity/predictivity_files.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/csv.h"
#include "base/json.h"
#include "base/npy.h"
#include "base/quote.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;
namespace {

std::optional<double> number_in(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

class StimulusReader {
 public:
  explicit StimulusReader(const std::string& path) : path_(path) {}

  StimulusTexts read() {
    const std::string text = read_text(path_);
    if (path_.ends_with(".csv")) {
      from_csv(text);
    } else if (path_.ends_with(".jsonl")) {
      from_lines(text);
    } else if (path_.ends_with(".json")) {
      const Json list = parse_json(text, path_);
      if (!list.is_array())
        user_error("{}: is {}: expected a list of objects with \"text\" and \"group\"", path_,
                   describe_json(list));
      for (size_t i = 0; i < list.size(); ++i)
        add(list[i], fmt::format("{}: stimulus {}", path_, i + 1));
    } else {
      user_error("{}: unknown format of stimuli: expected a .csv, .json or .jsonl file", path_);
    }
    if (found_.texts.empty()) user_error("{}: missing stimuli: expected at least one", path_);
    if (grouped_ != 0 && grouped_ != found_.texts.size()) {
      user_error("{}: {} of {} stimuli have a group: expected all or none", path_, grouped_,
                 found_.texts.size());
    }
    return std::move(found_);
  }

 private:
  void from_csv(const std::string& text) {
    const std::vector<CsvRow> rows = parse_csv(text, path_);
    const std::vector<std::string>& header = rows[0].fields;
    const auto column = [&](std::string_view name) {
      return static_cast<size_t>(std::find(header.begin(), header.end(), name) - header.begin());
    };
    const size_t text_column = column("text"), group_column = column("group");
    if (text_column == header.size())
      user_error("{}:1: missing column 'text' in the header: expected text,group", path_);
    if (column("context") != header.size()) {
      user_error(
          "{}:1: unsupported column 'context': the context of a stimulus is the earlier stimuli of "
          "its group; write the context as stimuli, or rename the column",
          path_);
    }
    for (size_t i = 1; i < rows.size(); ++i) {
      const bool grouped = group_column < header.size();
      add(rows[i].fields[text_column],
          grouped ? std::optional(rows[i].fields[group_column]) : std::nullopt,
          fmt::format("{}:{}", path_, rows[i].line));
    }
  }

  void from_lines(const std::string& text) {
    size_t line = 1;
    for (size_t at = 0; at < text.size(); ++line) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view one = std::string_view(text).substr(at, end - at);
      const std::string where = fmt::format("{}:{}", path_, line);
      if (one.find_first_not_of(" \r\t") != std::string_view::npos)
        add(parse_json(one, where), where);
      at = end + 1;
    }
  }

  void add(const Json& object, const std::string& where) {
    const JsonFields fields(object, where);
    const auto text = fields.text("text");
    if (!text) user_error("{}: missing \"text\"", where);
    std::optional<std::string> group;
    if (const Json* value = fields.find("group"); value && value->is_number_integer())
      group = value->dump();
    else
      group = fields.text("group");
    add(*text, group, where);
  }

  void add(const std::string& text, const std::optional<std::string>& group,
           const std::string& where) {
    if (text.empty()) user_error("{}: the text is empty: expected at least one character", where);
    if (group && group->empty())
      user_error("{}: the group is empty: expected the name of a story or passage", where);
    found_.texts.push_back(text);
    found_.groups.push_back(group.value_or(fmt::format("{}", found_.texts.size())));
    grouped_ += group.has_value();
  }

  const std::string& path_;
  StimulusTexts found_;
  size_t grouped_ = 0;
};

/// A column a neuroid. If the first column is called "stimulus" it labels the rows, of which the
/// first may be "subject" and "ceiling".
class ResponseTable {
 public:
  explicit ResponseTable(const std::string& path)
      : path_(path), rows_(parse_csv(read_text(path), path)) {
    labelled_ = rows_[0].fields[0] == "stimulus";
    found_.neuroids.assign(rows_[0].fields.begin() + labelled_, rows_[0].fields.end());
    if (found_.neuroids.empty()) user_error("{}: missing neuroids: expected one column each", path);
  }

  Responses read() {
    size_t row = 1;
    for (; labelled_ && row < rows_.size(); ++row) {
      const CsvRow& one = rows_[row];
      if (one.fields[0] == "subject")
        found_.subjects.assign(one.fields.begin() + 1, one.fields.end());
      else if (one.fields[0] == "ceiling")
        found_.ceilings = numbers(one);
      else
        break;
    }
    if (row == rows_.size())
      user_error("{}: missing responses: expected one line per stimulus", path_);
    const auto stimuli = static_cast<int64_t>(rows_.size() - row),
               neuroids = static_cast<int64_t>(found_.neuroids.size());
    found_.values = Tensor(DType::kF64, {stimuli, neuroids});
    auto* next = static_cast<double*>(found_.values.data());
    for (; row < rows_.size(); ++row) {
      const std::vector<double> values = numbers(rows_[row]);
      next = std::copy(values.begin(), values.end(), next);
    }
    return std::move(found_);
  }

 private:
  std::vector<double> numbers(const CsvRow& row) const {
    std::vector<double> values;
    for (size_t i = labelled_; i < row.fields.size(); ++i) {
      const auto value = number_in(row.fields[i]);
      if (!value) {
        user_error(
            "{}:{}: invalid value {} of neuroid {}: expected a finite number; leave out such "
            "neuroids or stimuli",
            path_, row.line, quote(row.fields[i], 20), quote(rows_[0].fields[i], 40));
      }
      values.push_back(*value);
    }
    return values;
  }

  const std::string& path_;
  std::vector<CsvRow> rows_;
  bool labelled_ = false;
  Responses found_;
};

std::vector<std::string> names_in(const std::string& path) {
  const std::string text = read_text(path);
  std::vector<std::string> names;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string name = text.substr(at, end - at);
    if (name.ends_with('\r')) name.pop_back();
    names.push_back(std::move(name));
    at = end + 1;
  }
  while (!names.empty() && names.back().empty()) names.pop_back();
  if (names.empty()) user_error("{}: is empty: expected one value per neuroid, one per line", path);
  return names;
}

std::vector<double> doubles_of(const Tensor& tensor, const std::string& path) {
  std::vector<double> values(static_cast<size_t>(tensor.elements()));
  if (tensor.dtype() == DType::kF32)
    std::copy(tensor.f32().begin(), tensor.f32().end(), values.begin());
  else if (tensor.dtype() == DType::kF64)
    std::copy_n(static_cast<const double*>(tensor.data()), values.size(), values.begin());
  else
    user_error("{}: contains {}: expected f32 or f64", path, dtype_name(tensor.dtype()));
  return values;
}

std::vector<double> read_ceilings(const std::string& text) {
  if (const auto one = number_in(text)) return {*one};
  if (text.ends_with(".npy")) return doubles_of(read_npy(text), text);
  std::vector<double> values;
  for (const std::string& line : names_in(text)) {
    const auto value = number_in(line);
    if (!value)
      user_error("{}:{}: invalid value {}: expected a finite number", text, values.size() + 1,
                 quote(line, 20));
    values.push_back(*value);
  }
  return values;
}

}  // namespace

StimulusTexts read_stimuli(const std::string& path) { return StimulusReader(path).read(); }

Responses read_responses(const std::string& path, const std::string& subjects,
                         const std::string& ceiling) {
  Responses responses;
  if (path.ends_with(".npy"))
    responses.values = read_npy(path);
  else if (path.ends_with(".csv"))
    responses = ResponseTable(path).read();
  else
    user_error("{}: unknown format of responses: expected a .npy or .csv file", path);
  if (!subjects.empty()) {
    if (!responses.subjects.empty())
      user_error("{}: has a row of subjects, and --subjects is given as well: use one of them",
                 path);
    responses.subjects = names_in(subjects);
  }
  if (!ceiling.empty()) {
    if (!responses.ceilings.empty())
      user_error("{}: has a row of ceilings, and --ceiling is given as well: use one of them",
                 path);
    responses.ceilings = read_ceilings(ceiling);
  }
  return responses;
}

std::vector<double> parse_numbers(const std::string& text, const std::string& what) {
  std::vector<double> values;
  for (const std::string& item : split_list(text)) {
    const auto value = number_in(item);
    if (!value)
      user_error("{}: invalid number {}: expected a list such as 0.1,1,10", what, quote(item, 40));
    values.push_back(*value);
  }
  return values;
}

}  // namespace vitrine::cli
