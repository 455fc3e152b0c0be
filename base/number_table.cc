// SPDX-License-Identifier: MIT
#include "base/number_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

std::string_view without_blanks(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

/// What programs write for a missing number.
bool is_missing(std::string_view field) {
  constexpr std::array<std::string_view, 12> kMarks = {"",    "NA",   "N/A",  "na",  "NaN",  "nan",
                                                       "NAN", "null", "NULL", "inf", "-inf", "Inf"};
  return std::find(kMarks.begin(), kMarks.end(), without_blanks(field)) != kMarks.end();
}

bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<double> number_in(std::string_view field) {
  std::string_view text = without_blanks(field);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

std::string hint_of(std::string_view field) {
  const std::string_view text = without_blanks(field);
  const size_t comma = text.find(',');
  if (comma != std::string_view::npos && number_in(text.substr(0, comma)) &&
      is_digits(text.substr(comma + 1)))
    return fmt::format("; a decimal comma: write {}.{}", text.substr(0, comma),
                       text.substr(comma + 1));
  return is_missing(field) ? "; leave out rows or columns with missing values" : "";
}

NumberTable::NumberTable(std::string_view text, const std::string& file,
                         const NumberTableOptions& options)
    : file_(file),
      table_(parse_csv(text, file, separator_of(text, true))),
      transposed_(options.rows_are_variables) {
  if (has_header(options)) {
    take_names();
  } else {
    for (size_t c = 0; c < columns(); ++c) names_.push_back(std::to_string(c));
  }
  if (rows() == 0) user_error("{}: missing data: expected numbers after the names", file_);
}

bool NumberTable::has_header(const NumberTableOptions& options) const {
  if (options.header) return *options.header;
  bool numbers = false;
  for (size_t c = 0; c < columns(); ++c) {
    if (!number_in(at(0, c)) && !is_missing(at(0, c)) && hint_of(at(0, c)).empty()) return true;
    numbers = numbers || !is_missing(at(0, c));
  }
  if (!numbers) return true;  // nameless columns, which take_names() refuses
  user_error(
      "{}:{}: the first {} holds numbers only: expected names; use `no_header` if they are data, "
      "`header` if they are names",
      file_, table_[0].line, transposed_ ? "column" : "line");
}

void NumberTable::take_names() {
  first_ = 1;
  const char* what = transposed_ ? "row" : "column";
  for (size_t c = 0; c < columns(); ++c) {
    std::string name(without_blanks(at(0, c)));
    if (name.empty())
      user_error(
          "{}:{}: {} {} has no name: expected one; name it, or leave an index out (pandas: "
          "index=False)",
          file_, table_[transposed_ ? c : 0].line, what, c + 1);
    if (std::find(names_.begin(), names_.end(), name) != names_.end())
      user_error("{}:{}: duplicate {} {}: expected different names", file_,
                 table_[transposed_ ? c : 0].line, what, quote(name));
    names_.push_back(std::move(name));
  }
}

const std::string& NumberTable::field(size_t row, size_t column) const {
  return at(first_ + row, column);
}

std::string NumberTable::place(size_t row, size_t column) const {
  return fmt::format("{}:{}", file_, table_[transposed_ ? column : first_ + row].line);
}

double NumberTable::number(size_t row, size_t column) const {
  const std::string& text = field(row, column);
  if (const auto value = number_in(text)) return *value;
  const bool names_as_data = first_ == 0 && row == 0;
  user_error("{}: invalid value {} in {} {}: expected a finite number{}{}{}", place(row, column),
             quote(text, 20), transposed_ ? "row" : "column", quote(names_[column], 40),
             hint_of(text), names_as_data ? "; leave `no_header` out if it is a name" : "",
             transposed_ ? "; leave `rows_are_variables` out if the columns are" : "");
}

}  // namespace vitrine::internal
