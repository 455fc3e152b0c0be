// SPDX-License-Identifier: MIT
#include "base/csv.h"

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& file) : text_(text), file_(file) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }

  std::vector<CsvRow> read() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      if (end_of_line()) continue;
      CsvRow row = record();
      if (!rows.empty() && row.fields.size() != rows[0].fields.size()) {
        user_error("{}:{}: has {} fields: expected {} as in the header", file_, row.line,
                   row.fields.size(), rows[0].fields.size());
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
    } while (accept(','));
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
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') {
      if (text_[at_++] == '"')
        user_error("{}:{}: unexpected quote inside an unquoted field", file_, line_);
    }
    return std::string(text_.substr(begin, at_ - begin));
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
  size_t at_ = 0, line_ = 1;
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& file) {
  return CsvReader(text, file).read();
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (const char c : text) field += c == '"' ? std::string("\"\"") : std::string(1, c);
  return field + "\"";
}

}  // namespace vitrine::internal
