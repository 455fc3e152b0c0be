// SPDX-License-Identifier: MIT
#include "base/number_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::error_of;
using testing::says;

using Names = std::vector<std::string>;
using Rows = std::vector<std::vector<double>>;

NumberTable table_of(const std::string& text, const NumberTableOptions& options = {}) {
  return {text, "F", options};
}

Rows rows_of(const NumberTable& table) {
  Rows rows(table.rows());
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < table.names().size(); ++c) rows[r].push_back(table.number(r, c));
  }
  return rows;
}

std::string refused(const std::string& text, const NumberTableOptions& options = {}) {
  return error_of([&] { rows_of(table_of(text, options)); });
}

TEST(NumberTable, ReadsEverySeparator) {
  for (const char* text :
       {"a,b\n1,-2.5e1\n+3,4\n", "a;b\r\n1;-2.5e1\r\n3;4\r\n", "a\tb\n1\t-2.5e1\n3\t4\n",
        "a b\n1 -2.5e1\n3 4\n", "  a   b \n   1 -2.5e1\n\n 3\t4  \n", "a, b\n1, -2.5e1\n3, 4"}) {
    const NumberTable table = table_of(text);
    EXPECT_EQ(table.names(), (Names{"a", "b"})) << text;
    EXPECT_EQ(rows_of(table), (Rows{{1, -25}, {3, 4}})) << text;
  }
  EXPECT_EQ(table_of("reaction time\n1\n2\n").names(), Names{"reaction time"});
  EXPECT_EQ(table_of("\"a;b\",c\n1,2\n").names(), (Names{"a;b", "c"}));
}

TEST(NumberTable, DoesNotEatALineOfNumbers) {
  EXPECT_TRUE(says(refused("1,2\n3,4\n"), "F:1: the first line holds numbers only",
                   "use `no_header` if they are data, `header` if they are names"));
  EXPECT_TRUE(says(refused("1,NA\n3,4\n"), "the first line holds numbers only"));
  EXPECT_TRUE(says(refused("1,5;2\n3;4\n"), "the first line holds numbers only"))
      << "a decimal comma is meant as a number";
  EXPECT_EQ(rows_of(table_of("1,2\n3,4\n", {.header = false})), (Rows{{1, 2}, {3, 4}}));
  EXPECT_EQ(table_of("1,2\n3,4\n", {.header = false}).names(), (Names{"0", "1"}));
  EXPECT_EQ(rows_of(table_of("1,2\n3,4\n", {.header = true})), (Rows{{3, 4}}));
  EXPECT_EQ(table_of("time,2\n3,4\n").names(), (Names{"time", "2"}));
}

TEST(NumberTable, RowsMayBeTheVariables) {
  const NumberTable named = table_of("a,1,2,3\nb,4,5,6\n", {.rows_are_variables = true});
  EXPECT_EQ(named.names(), (Names{"a", "b"}));
  EXPECT_EQ(rows_of(named), (Rows{{1, 4}, {2, 5}, {3, 6}}));
  const NumberTable plain =
      table_of("1,2,3\n4,5,6\n", {.header = false, .rows_are_variables = true});
  EXPECT_EQ(rows_of(plain), (Rows{{1, 4}, {2, 5}, {3, 6}}));
  EXPECT_TRUE(says(refused("1,2\n3,4\n", {.rows_are_variables = true}),
                   "the first column holds numbers only"));
  EXPECT_TRUE(says(refused("a,1\nb,x\n", {.rows_are_variables = true}),
                   "F:2: invalid value 'x' in row 'b'"));
}

TEST(NumberTable, NamesWhatIsWrong) {
  EXPECT_TRUE(says(refused("a,b\n1,2\n3\n"), "F:3: has 1 field: expected 2", "commas"));
  EXPECT_TRUE(says(refused("a b\n1 2\n3\n"), "F:3: has 1 field: expected 2", "blanks"));
  EXPECT_TRUE(says(refused("a,b,a\n1,2,3\n"), "F:1: duplicate column 'a'"));
  EXPECT_TRUE(says(refused(",a,b\n0,2,3\n"), "F:1: column 1 has no name", "index=False"));
  EXPECT_TRUE(says(refused("a;b\n1,5;2\n"), "F:2: invalid value '1,5' in column 'a'",
                   "a decimal comma: write 1.5"));
  EXPECT_TRUE(says(refused("a,b\n1,NA\n"), "F:2: invalid value 'NA' in column 'b'", "leave out"));
  EXPECT_TRUE(says(refused("a,b\n1,1e999\n"), "F:2: invalid value '1e999'"));
  EXPECT_TRUE(says(refused("a,b\n"), "F: missing data"));
}

}  // namespace
}  // namespace vitrine
