// SPDX-License-Identifier: MIT
#include "cli/predictivity/predictivity_files.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/csv.h"
#include "base/json.h"
#include "base/npy.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "cli/core/arrays.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;
namespace {

class StimulusReader {
 public:
  explicit StimulusReader(const std::string& path) : path_(path) {}

  StimulusTexts read() {
    const std::string text = read_text(path_);
    if (path_.ends_with(".csv") || path_.ends_with(".tsv")) {
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
      user_error("{}: unknown format of stimuli: expected a .csv, .tsv, .json or .jsonl file",
                 path_);
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
    const std::vector<CsvRow> rows = parse_csv(text, path_, separator_of(text, false));
    const std::vector<std::string>& header = rows[0].fields;
    for (const char* name : {"text", "group"}) {
      if (std::count(header.begin(), header.end(), name) > 1)
        user_error("{}:1: duplicate column '{}' in the header: expected one", path_, name);
    }
    const auto column = [&](std::string_view name) {
      return static_cast<size_t>(std::find(header.begin(), header.end(), name) - header.begin());
    };
    const size_t text_column = column("text"), group_column = column("group");
    if (text_column == header.size())
      user_error("{}:1: missing column 'text' in the header: expected text,group", path_);
    if (column("context") != header.size()) refuse_context(path_ + ":1", "column");
    for (size_t i = 1; i < rows.size(); ++i) {
      const bool grouped = group_column < header.size();
      add(rows[i].fields[text_column],
          grouped ? std::optional(rows[i].fields[group_column]) : std::nullopt,
          fmt::format("{}:{}", path_, rows[i].line));
    }
  }

  [[noreturn]] static void refuse_context(const std::string& where, std::string_view what) {
    user_error(
        "{}: unsupported {} 'context': the context of a stimulus is the earlier stimuli of its "
        "group; write the context as stimuli, or rename the {}",
        where, what, what);
  }

  void from_lines(const std::string& text) {
    const std::vector<std::string> lines = text_lines(text, path_);
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string where = fmt::format("{}:{}", path_, i + 1);
      if (lines[i].find_first_not_of(" \t") != std::string::npos)
        add(parse_json(lines[i], where), where);
    }
  }

  void add(const Json& object, const std::string& where) {
    const JsonFields fields(object, where);
    if (fields.has("context")) refuse_context(where, "field");
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
  ResponseTable(const std::string& path, const NumberTableOptions& options)
      : path_(path), table_(read_text(path), path, options) {
    labelled_ = table_.names()[0] == "stimulus";
    found_.neuroids.assign(table_.names().begin() + labelled_, table_.names().end());
    if (found_.neuroids.empty()) user_error("{}: missing neuroids: expected one column each", path);
  }

  Responses read() {
    size_t row = 0;
    for (; labelled_ && row < table_.rows(); ++row) {
      if (table_.field(row, 0) == "subject") {
        for (size_t c = 1; c < table_.names().size(); ++c)
          found_.subjects.push_back(table_.field(row, c));
      } else if (table_.field(row, 0) == "ceiling") {
        found_.ceilings = numbers(row);
      } else {
        break;
      }
    }
    if (row == table_.rows())
      user_error("{}: missing responses: expected one line per stimulus", path_);
    const auto stimuli = static_cast<int64_t>(table_.rows() - row),
               neuroids = static_cast<int64_t>(found_.neuroids.size());
    found_.values = Tensor(DType::kF64, {stimuli, neuroids});
    auto* next = static_cast<double*>(found_.values.data());
    for (; row < table_.rows(); ++row) next = std::ranges::copy(numbers(row), next).out;
    return std::move(found_);
  }

 private:
  std::vector<double> numbers(size_t row) const {
    std::vector<double> values;
    for (size_t i = labelled_; i < table_.names().size(); ++i)
      values.push_back(table_.number(row, i));
    return values;
  }

  const std::string& path_;
  NumberTable table_;
  bool labelled_ = false;
  Responses found_;
};

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names = text_lines(read_text(path), path);
  if (names.empty()) user_error("{}: is empty: expected one value per neuroid, one per line", path);
  return names;
}

std::vector<double> read_ceilings(const std::string& text) {
  if (const auto one = number_in(text)) return {*one};
  if (text.ends_with(".npy")) return to_f64(read_npy(text));
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
                         const std::string& ceiling, const NumberTableOptions& options) {
  Responses responses;
  if (path.ends_with(".npy")) {
    if (options.header)
      user_error("{}: a .npy file has no header: leave --header and --no-header out", path);
    responses.values = read_npy(path);
    if (const DType dtype = responses.values.dtype(); dtype != DType::kF32 && dtype != DType::kF64)
      responses.values = tensor_of(DType::kF64, to_f64(responses.values), responses.values.shape());
  } else if (path.ends_with(".csv") || path.ends_with(".tsv") || path.ends_with(".txt")) {
    responses = ResponseTable(path, options).read();
  } else {
    user_error("{}: unknown format of responses: expected a .npy, .csv, .tsv or .txt file", path);
  }
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
