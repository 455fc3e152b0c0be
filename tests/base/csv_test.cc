// SPDX-License-Identifier: MIT
#include "base/csv.h"

#include <gtest/gtest.h>

#include "tests/support.h"

namespace vitrine {
using namespace internal;
namespace {

std::vector<std::vector<std::string>> fields_of(std::string_view text) {
  std::vector<std::vector<std::string>> fields;
  for (const CsvRow& row : parse_csv(text, "x.csv")) fields.push_back(row.fields);
  return fields;
}

using Rows = std::vector<std::vector<std::string>>;

TEST(Csv, QuotesCommasAndLineBreaks) {
  EXPECT_EQ(fields_of("text,group\r\n\"A, \"\"b\"\"\r\nc\",1\r\n,\"\"\n\n x ,y"),
            (Rows{{"text", "group"}, {"A, \"b\"\r\nc", "1"}, {"", ""}, {" x ", "y"}}));
  EXPECT_EQ(fields_of("a\n\"\"\"\"\n"), (Rows{{"a"}, {"\""}}));
  EXPECT_EQ(fields_of("a,b\n1,"), (Rows{{"a", "b"}, {"1", ""}}));
}

TEST(Csv, RowsKnowTheirLines) {
  const auto rows = parse_csv("a\n\"x\ny\"\n\nz\n", "x.csv");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].line, 2u);
  EXPECT_EQ(rows[2].line, 5u);
}

TEST(Csv, RefusesWhatIsNoTable) {
  EXPECT_USER_ERROR(parse_csv("", "x.csv"), "x.csv: is empty");
  EXPECT_USER_ERROR(parse_csv("a,b\n1\n", "x.csv"),
                    "x.csv:2: has 1 field: expected 2 as in the header, separated by commas");
  EXPECT_USER_ERROR(parse_csv("a\n\"b\nc", "x.csv"), "x.csv:2: missing closing quote of a field");
  EXPECT_USER_ERROR(parse_csv("a\n\"b\nc\"d", "x.csv"),
                    "x.csv:3: unexpected text after a closing quote: 'd'");
  EXPECT_USER_ERROR(parse_csv("a\nb\"c\"\n", "x.csv"),
                    "x.csv:2: unexpected quote inside an unquoted field");
}

}  // namespace
}  // namespace vitrine
