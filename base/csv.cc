// SPDX-License-Identifier: MIT
#include "base/csv.h"

#include <algorithm>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& file, char separator)
      : text_(text), file_(file), separator_(separator) {}

  std::vector<CsvRow> read() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      skip_blanks();
      if (at_ == text_.size() || end_of_line()) continue;
      CsvRow row = record();
      if (!rows.empty() && row.fields.size() != rows[0].fields.size()) {
        user_error("{}:{}: has {} field{}: expected {} as in the header, separated by {}", file_,
                   row.line, row.fields.size(), row.fields.size() == 1 ? "" : "s",
                   rows[0].fields.size(), separator_name());
      }
      rows.push_back(std::move(row));
    }
    if (rows.empty()) user_error("{}: is empty: expected a header line and records", file_);
    return rows;
  }

 private:
  CsvRow record() {
    CsvRow row{.line = line_, .fields = {}};
    do {
      row.fields.push_back(peek() == '"' ? quoted() : plain());
    } while (next_field());
    if (at_ < text_.size() && !end_of_line())
      user_error("{}:{}: unexpected text after a closing quote: {}", file_, line_,
                 quote(text_.substr(at_), 20));
    return row;
  }
  std::string quoted() {
    const size_t begin = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        if (peek() != '"') return field;  // two of them mean one
      }
      if (c == '\n') ++line_;
      field += c;
    }
    user_error("{}:{}: missing closing quote of a field: add \"", file_, begin);
  }
  std::string plain() {
    const size_t begin = at_;
    while (at_ < text_.size() && !is_separator(text_[at_]) && text_[at_] != '\n' &&
           text_[at_] != '\r') {
      if (text_[at_++] == '"')
        user_error("{}:{}: unexpected quote inside an unquoted field", file_, line_);
    }
    return std::string(text_.substr(begin, at_ - begin));
  }
  bool is_separator(char c) const {
    return c == separator_ || (separator_ == kBlanks && c == '\t');
  }
  void skip_blanks() {
    while (separator_ == kBlanks && at_ < text_.size() && is_separator(text_[at_])) ++at_;
  }
  /// Passes over a separator; blanks at the end of a line are none.
  bool next_field() {
    if (at_ == text_.size() || !is_separator(text_[at_])) return false;
    if (separator_ != kBlanks) ++at_;
    skip_blanks();
    return separator_ != kBlanks ||
           (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r');
  }
  std::string_view separator_name() const {
    return separator_ == ','    ? "commas"
           : separator_ == ';'  ? "semicolons"
           : separator_ == '\t' ? "tabs"
                                : "blanks";
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool accept(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool end_of_line() {
    const bool carriage = accept('\r'), feed = accept('\n');
    if (!carriage && !feed) return false;
    ++line_;
    return true;
  }

  std::string_view text_;
  const std::string& file_;
  char separator_;
  size_t at_ = 0, line_ = 1;
};

/// The first line of `text` that is not empty, without blanks around it; `text` loses it.
std::string_view take_line(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  const size_t end = std::min(text.find_first_of("\r\n"), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end);
  return line.substr(0, line.find_last_not_of(" \t") + 1);
}

}  // namespace

char separator_of(std::string_view text, bool blanks) {
  const std::string_view first = take_line(text);
  bool quoted = false, tab = false, semicolon = false, comma = false, blank = false;
  for (const char c : first) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    tab = tab || c == '\t';
    semicolon = semicolon || c == ';';
    comma = comma || c == ',';
    blank = blank || c == ' ';
  }
  if (tab) return '\t';
  if (semicolon || comma) return semicolon ? ';' : ',';
  // A blank may be part of the only column's name, which then is on a line without numbers alone.
  const bool numbers = first.find_first_not_of("0123456789+-.eE ") == std::string_view::npos;
  const std::string_view second = take_line(text);
  const bool separated =
      numbers || second.empty() || second.find_first_of(" \t") != std::string_view::npos;
  return blanks && blank && separated ? kBlanks : ',';
}

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& file, char separator) {
  return CsvReader(text, file, separator).read();
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (const char c : text) field += c == '"' ? std::string("\"\"") : std::string(1, c);
  return field + "\"";
}

}  // namespace vitrine::internal
