// SPDX-License-Identifier: MIT
#include "base/json_value.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "vitrine/error.h"

namespace vitrine {
using namespace internal;
namespace {

// nlohmann::json is the reference: what was written with it is written alike.

std::string reference(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

void expect_same(const JsonValue& ours, const Json& theirs) {
  for (const int indent : {-1, 0, 1, 2}) EXPECT_EQ(ours.dump(indent), reference(theirs, indent));
}

TEST(JsonValue, WritesScalarsAsNlohmannDoes) {
  expect_same({}, nullptr);
  expect_same(nullptr, nullptr);
  expect_same(true, true);
  expect_same(false, false);
  expect_same(-7, -7);
  expect_same(7u, 7u);
  expect_same(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::min());
  expect_same(std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max());
  expect_same("text", "text");
  expect_same(std::string("with\0zero", 9), std::string("with\0zero", 9));
  expect_same(std::string_view("view"), "view");
}

TEST(JsonValue, WritesDoublesAsNlohmannDoes) {
  for (const double value :
       {0.0, -0.0, 1.0, -1.0, 0.1, 1.0 / 3, 1e15, 1e16, 123456789012345678.0, 1e-4, 1e-5, 1e300,
        -1e300, 5e-324, 2.2250738585072014e-308, std::numeric_limits<double>::max(), std::nan(""),
        std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    expect_same(value, value);
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const auto any = std::bit_cast<double>(random());
    const auto single = std::bit_cast<float>(static_cast<uint32_t>(random()));
    ASSERT_EQ(JsonValue(any).dump(), Json(any).dump());
    ASSERT_EQ(JsonValue(single).dump(), Json(single).dump());
  }
}

TEST(JsonValue, WritesTextAsNlohmannDoes) {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  expect_same(all, all);
  for (const char* text :
       {"", "\"quoted\" \\ / \b\f\n\r\t", "ä € 𝄞 \u2028", "\x7f", "\xff", "a\xc3", "\xe2\x82",
        "\xe2\x82"
        "a",
        "\xed\xa0\x80", "\xf0\x9d\x84\x9e\x9e", "\xf4\x90\x80\x80", "\xc0\xaf", "\xf0\x9d\x84",
        "\xf0\x9d\xe2\x82\xac"}) {
    expect_same(text, text);
  }
  // Bytes that begin, go on with and end characters, in any order.
  constexpr std::string_view kBytes = "a\"\n\x80\x9d\xa0\xbf\xc2\xe0\xe2\xed\xf0\xf4\xff";
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (size_t n = random() % 8; n > 0; --n) text += kBytes[random() % kBytes.size()];
    ASSERT_EQ(JsonValue(text).dump(), reference(text, -1));
  }
}

TEST(JsonValue, BuildsWhatNlohmannBuildsFromLists) {
  expect_same({{"b", 1}, {"a", "x"}}, {{"b", 1}, {"a", "x"}});
  expect_same({{"a", "b"}}, Json({{"a", "b"}}));
  expect_same({{"a", 1}, {"a", 2}}, Json({{"a", 1}, {"a", 2}}));
  expect_same({1, "a", nullptr, 2.5}, {1, "a", nullptr, 2.5});
  expect_same({{1, 2}, {"a", 2}}, {{1, 2}, {"a", 2}});
  expect_same({{"a", {{"b", {{"c", {1, 2, 3}}}}}}, {"d", JsonValue::array()}},
              {{"a", {{"b", {{"c", {1, 2, 3}}}}}}, {"d", Json::array()}});
  expect_same(JsonValue::array({{"a", 1}, {"b", 2}}), Json::array({{"a", 1}, {"b", 2}}));
  expect_same(JsonValue::array({1}), Json::array({1}));
  expect_same(JsonValue::object(), Json::object());
  expect_same(JsonValue::array(), Json::array());
}

TEST(JsonValue, BuildsListsOfNumbersAndTexts) {
  const std::vector<int32_t> small = {1, -2};
  const std::vector<int64_t> large = {int64_t{1} << 60, -1};
  const std::vector<uint64_t> natural = {~uint64_t{0}};
  const std::vector<float> single = {0.1f, 2};
  const std::vector<double> numbers = {0.1, std::nan(""), 3};
  const std::vector<std::string> texts = {"a", "b"}, none;
  const std::vector<std::vector<double>> rows = {{1, 2}, {}};
  const std::map<std::string, std::string> map = {{"k", "v"}};
  expect_same(small, small);
  expect_same(large, large);
  expect_same(natural, natural);
  expect_same(single, single);
  expect_same(numbers, numbers);
  expect_same(texts, texts);
  expect_same(none, none);
  expect_same(rows, rows);
  expect_same(map, map);
  expect_same({{"small", small}, {"texts", texts}}, {{"small", small}, {"texts", texts}});
  expect_same(std::optional<double>(), nullptr);
  expect_same(std::optional<double>(2), 2.0);
}

TEST(JsonValue, GrowsFromNull) {
  JsonValue ours;
  ours["list"].push_back(1);
  ours["list"].push_back({{"name", "x"}});
  ours["other"]["deep"] = "y";
  ours["other"]["deep"] = 2;
  ours.update({{"list", "replaced"}, {"new", true}});
  expect_same(ours, {{"list", "replaced"}, {"other", {{"deep", 2}}}, {"new", true}});
  JsonValue numbers = std::vector<double>{1, 2};
  numbers.push_back("three");
  expect_same(numbers, {1.0, 2.0, "three"});
  EXPECT_EQ(numbers.size(), 3u);
  EXPECT_EQ(numbers.back().text(), "three");
  EXPECT_EQ(ours.size(), 3u);
  EXPECT_TRUE(JsonValue().empty());
}

TEST(JsonValue, CopiesAndMoves) {
  JsonValue first = {{"a", {1, 2}}, {"b", "text"}, {"c", std::vector<int>{1}}};
  JsonValue copy = first;
  copy["a"].push_back(3);
  EXPECT_EQ(first.dump(), R"({"a":[1,2],"b":"text","c":[1]})");
  EXPECT_EQ(copy.dump(), R"({"a":[1,2,3],"b":"text","c":[1]})");
  const JsonValue moved = std::move(copy);
  EXPECT_EQ(moved.dump(), R"({"a":[1,2,3],"b":"text","c":[1]})");
  // What a list of fields names stays whole.
  const JsonValue holder = {{"first", first}, {"again", first}};
  EXPECT_EQ(first.size(), 3u);
  EXPECT_EQ(holder.find("first")->dump(), holder.find("again")->dump());
  first = first["a"];
  EXPECT_EQ(first.dump(), "[1,2]");
  EXPECT_EQ(holder.find("none"), nullptr);
}

TEST(JsonValue, RefusesTheWrongKind) {
  JsonValue text = "text";
  EXPECT_THROW(text["name"], Error);
  EXPECT_THROW(text.push_back(1), Error);
  EXPECT_THROW(text.update(JsonValue::object()), Error);
  EXPECT_THROW(JsonValue(1).text(), Error);
}

}  // namespace
}  // namespace vitrine
