// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

// Tables of fields with one separator. NumberTable in number_table.h reads those of numbers.

namespace vitrine::internal {

/// A record.
struct CsvRow {
  size_t line = 0;  ///< on which it begins, from 1
  std::vector<std::string> fields;
};

/// What separates fields: ',', ';', '\t', or kBlanks, any number of spaces and tabs.
inline constexpr char kBlanks = ' ';

/// The separator of a table by its first line, outside quotes: a tab, else a semicolon, else a
/// comma, whichever is there; else kBlanks if there are blanks between words and `blanks` allows
/// it; else a comma.
char separator_of(std::string_view text, bool blanks);

/// Separated values as RFC 4180 has them: a field in double quotes may hold separators, line breaks
/// and, doubled, quotes. Lines may end in LF or CRLF; empty lines are left out. All records have as
/// many fields as the first. `file` is what errors call it. Throws Error (user) "FILE:LINE: ..."
/// for a quote that does not end, one inside a field that is not quoted, a record with another
/// number of fields, and text without a record.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& file, char separator = ',');

/// One field of such a record, in quotes where it needs them.
std::string csv_field(std::string_view text);

}  // namespace vitrine::internal
