// SPDX-License-Identifier: MIT
// Sets inside regular expressions, against what `tokenizers` 0.23.3 matches.

#include "tokenizer/pipeline/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace vitrine::internal {
namespace {

using Spans = std::vector<std::pair<size_t, size_t>>;

constexpr const char* kRegexText =
    "The \u00dcn\u00efcode \u6f22\u5b57\u304b\u306a 12x_ab-[c] ^&& \u00e9\tz\n\nQ";

Spans matches_of(const std::string& pattern) {
  Spans spans;
  for (const TextMatch& part : Regex(pattern, "t").split(kRegexText)) {
    if (part.matches) spans.emplace_back(part.begin, part.end);
  }
  return spans;
}

TEST(RegexSets, AreThoseOfTokenizers) {
  const std::vector<std::pair<std::string, Spans>> wanted = {
      {R"([\p{L}&&[^\p{Han}]]+)",
       {{0, 3}, {4, 13}, {20, 26}, {29, 30}, {31, 33}, {35, 36}, {42, 44}, {45, 46}, {48, 49}}},
      {"[a-z&&[^aeiou]]",
       {{1, 2}, {6, 7}, {9, 10}, {11, 12}, {29, 30}, {32, 33}, {35, 36}, {45, 46}}},
      {"[^a-z&&[aeiou]]+", {{0, 2}, {3, 10}, {11, 12}, {13, 31}, {32, 49}}},
      {R"([\w&&\p{L}&&[^ab]]+)",
       {{0, 3}, {4, 13}, {14, 26}, {29, 30}, {35, 36}, {42, 44}, {45, 46}, {48, 49}}},
      {R"([^\p{L}\s[^\p{N}]])", {{27, 28}, {28, 29}}},
      {R"([a[^\p{L}\p{N}\s]]+)", {{30, 32}, {33, 35}, {36, 37}, {38, 41}}},
      {"[ab[cd&&[^d]]]", {{9, 10}, {31, 32}, {32, 33}, {35, 36}}},
      {R"(\p{Han}+)", {{14, 20}}},
      {R"([\p{Hiragana}\p{Latin}]+)",
       {{0, 3}, {4, 13}, {20, 26}, {29, 30}, {31, 33}, {35, 36}, {42, 44}, {45, 46}, {48, 49}}},
      {"(?i)[a-z&&[^t]]+",
       {{1, 3}, {6, 7}, {9, 13}, {29, 30}, {31, 33}, {35, 36}, {45, 46}, {48, 49}}},
      {"[&a]+|[&-]", {{31, 32}, {33, 34}, {39, 41}}},
      {R"((?<=[\p{L}&&[^e]])\s)", {{26, 27}, {44, 45}, {46, 47}}},
      {R"([\p{L}&&^ab]+)", {{31, 33}}},
      {"[[a-]z]+", {{31, 32}, {33, 34}, {45, 46}}},
      {"[c^]+", {{9, 10}, {35, 36}, {38, 39}}},
      {"[^[ab]c]+", {{0, 9}, {10, 31}, {33, 35}, {36, 49}}},
  };
  for (const auto& [pattern, spans] : wanted) EXPECT_EQ(matches_of(pattern), spans) << pattern;
}

}  // namespace
}  // namespace vitrine::internal
