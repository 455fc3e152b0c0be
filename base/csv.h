// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// A record of comma-separated values.
struct CsvRow {
  size_t line = 0;  ///< on which it begins, from 1
  std::vector<std::string> fields;
};

/// Comma-separated values as RFC 4180 has them: a field in double quotes may hold commas, line
/// breaks and, doubled, quotes. Lines may end in LF or CRLF; empty lines and a byte order mark at
/// the front are left out. The first record is the header; all records have as many fields. `file`
/// is what errors call it. Throws Error (user) "FILE:LINE: ..." for a quote that does not end, one
/// inside a field that is not quoted, a record with another number of fields, and text without a
/// record.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& file);

/// One field of such a record, in quotes where it needs them.
std::string csv_field(std::string_view text);

}  // namespace vitrine::internal
