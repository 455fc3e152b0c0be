// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/csv.h"

namespace vitrine::internal {

/// The finite decimal number that a field is, blanks around it aside.
std::optional<double> number_in(std::string_view field);

/// What else a field is that was expected to be a number, for the end of an error's line: "; a
/// decimal comma: write 1.5". Empty if nothing is known.
std::string hint_of(std::string_view field);

struct NumberTableOptions {
  /// Whether the first record holds the names of the columns; without a value that is decided by
  /// what it holds, and refused if it holds numbers alone, which could be either.
  std::optional<bool> header = {};
  /// true: a record is a variable, as numpy.cov has it; names are in the first column.
  bool rows_are_variables = false;
};

/// A table of numbers with a column for each variable, from text whose fields are separated by
/// commas, semicolons, tabs or blanks (see separator_of). Fields are read as numbers when they are
/// requested, so that a column of labels may be among them.
class NumberTable {
 public:
  /// `file` is what errors call it. Throws Error (user) as parse_csv() does; for a first record of
  /// numbers alone without `header`; for a column without a name or with that of another; and for
  /// a table without records.
  NumberTable(std::string_view text, const std::string& file, const NumberTableOptions& options);

  /// Of the columns; "0", "1", ... without a header.
  const std::vector<std::string>& names() const { return names_; }
  size_t rows() const { return records() - first_; }
  const std::string& field(size_t row, size_t column) const;
  /// Throws Error (user) naming file, line and column for a field that is not a finite number.
  double number(size_t row, size_t column) const;
  /// "FILE:LINE" of a field, for errors.
  std::string place(size_t row, size_t column) const;

 private:
  size_t records() const { return transposed_ ? table_[0].fields.size() : table_.size(); }
  size_t columns() const { return transposed_ ? table_.size() : table_[0].fields.size(); }
  const std::string& at(size_t record, size_t column) const {
    return transposed_ ? table_[column].fields[record] : table_[record].fields[column];
  }
  bool has_header(const NumberTableOptions& options) const;
  void take_names();

  std::string file_;
  std::vector<CsvRow> table_;
  bool transposed_;
  size_t first_ = 0;  // the record after the header
  std::vector<std::string> names_;
};

}  // namespace vitrine::internal
