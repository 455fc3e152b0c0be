// SPDX-License-Identifier: MIT
#include "base/json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "base/quote.h"
#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::error_of;
using testing::says;
using testing::TempFolder;

std::string parse_error(const std::string& text) {
  return error_of([&] { parse_json(text, "c.json"); });
}

TEST(Json, NamesFileLineAndColumn) {
  EXPECT_TRUE(says(parse_error("{\n  \"a\": 1,\n  \"b\": oops\n}"), "c.json:3:8: invalid JSON"));
  EXPECT_TRUE(says(parse_error("[1,"), "c.json:1:4: invalid JSON", "unexpected end of input"));
  EXPECT_TRUE(says(parse_error(""), "c.json:1:1: invalid JSON"));
  EXPECT_TRUE(says(parse_error("{\"a\": \"\xff\"}"), "c.json:1:8: invalid JSON"));
  EXPECT_TRUE(says(parse_error("{} {}"), "c.json:1:4: invalid JSON"));
  EXPECT_TRUE(says(parse_error("[1e999]"), "c.json", "invalid JSON"));
}

TEST(Json, RefusesRepeatedNames) {
  EXPECT_TRUE(
      says(parse_error(R"({"a": 1, "b": {"a": 2}, "a": 3})"), "c.json", "duplicate key 'a'"));
  EXPECT_EQ(parse_error(R"([{"a": 1}, {"a": 2}])"), "(no error)");
}

TEST(Json, NamesTheFirstThatIsRepeated) {
  EXPECT_TRUE(says(parse_error(R"({"d": 1, "b": 2, "d": 3, "b": 4, "a": 5, "a": 6})"),
                   "duplicate key 'd'"));
  EXPECT_TRUE(says(parse_error(R"({"b": 2, "c": [{"z": 1, "y": {}, "z": 3}], "b": 4})"),
                   "duplicate key 'z'"));
}

TEST(Json, ReadsFieldsInAnyOrder) {
  std::string text = "{";
  for (int i = 0; i < 2000; ++i) {
    const int number = i * 1201 % 2000;
    text += fmt::format(R"("{}": {{"x{}": [{{}}, {{"b": [{}], "a": null}}], "": {}}},)", number,
                        number, i, number);
  }
  text += R"("Ġ long enough to be a name that is kept apart": true})";
  EXPECT_EQ(parse_json(text, "c.json"), Json::parse(text));
  EXPECT_EQ(parse_python_json(R"({"b": {"c": 1, "c": [2]}, "a": 0, "b": {"c": 3, "a": 4, "c": 5}})",
                              "c.json"),
            Json::parse(R"({"a": 0, "b": {"a": 4, "c": 5}})"));
}

TEST(Json, RefusesDeepNesting) {
  EXPECT_TRUE(
      says(parse_error(std::string(100000, '[')), "nested too deeply: expected at most 64"));
  EXPECT_EQ(parse_error(std::string(60, '[') + std::string(60, ']')), "(no error)");
}

TEST(Json, ReadsFiles) {
  const TempFolder folder;
  EXPECT_EQ(read_json(folder.write("a.json", "{\"n\": 3}"))["n"], 3);
  EXPECT_TRUE(says(error_of([&] { read_json(folder.write("big.json", "[1, 2, 3]"), 5); }),
                   "big.json", "9 bytes", "at most 5"));
}

class Fields : public ::testing::Test {
 protected:
  const std::string file = "config.json";
  const Json json = parse_json(
      R"({"n": 12, "x": 0.5, "t": "word", "b": true, "z": null, "neg": -3, "huge": 18446744073709551615,
                                   "list": [1, 2]})",
      file);
  const JsonFields fields{json, file};
};

TEST_F(Fields, GivesTypedValues) {
  EXPECT_EQ(fields.integer("n", 1, 12), 12);
  EXPECT_EQ(fields.require_integer("neg", -3, 0), -3);
  EXPECT_EQ(fields.number("x"), 0.5);
  EXPECT_EQ(fields.number("n"), 12);
  EXPECT_EQ(fields.text("t"), "word");
  EXPECT_EQ(fields.boolean("b"), true);
  EXPECT_EQ(fields.integer("absent", 0, 1), std::nullopt);
  EXPECT_EQ(fields.integer("z", 0, 1), std::nullopt) << "null counts as absent";
  EXPECT_FALSE(fields.has("z"));
}

TEST_F(Fields, NamesFieldValueAndWhatIsWanted) {
  EXPECT_EQ(error_of([&] { fields.integer("n", 1, 11); }),
            "config.json: n is 12: expected an integer from 1 to 11");
  EXPECT_TRUE(says(error_of([&] { fields.integer("n", 13, 20); }), "n is 12"));
  EXPECT_TRUE(says(error_of([&] { fields.integer("x", 0, 1); }), "x is 0.5"));
  EXPECT_TRUE(says(error_of([&] { fields.integer("t", 0, 1); }), "t is 'word'"));
  EXPECT_TRUE(says(error_of([&] { fields.integer("b", 0, 1); }), "b is true"));
  EXPECT_TRUE(says(error_of([&] { fields.integer("huge", 0, INT64_MAX); }),
                   "huge is 18446744073709551615"));
  EXPECT_TRUE(says(error_of([&] { fields.integer("list", 0, 1); }), "list is a list of 2 values"));
  EXPECT_TRUE(says(error_of([&] { fields.require_integer("absent", 0, 1); }), "absent is missing",
                   "from 0 to 1"));
  EXPECT_TRUE(says(error_of([&] { fields.number("t"); }), "expected a number"));
  EXPECT_TRUE(says(error_of([&] { fields.boolean("n"); }), "n is 12: expected true or false"));
  EXPECT_TRUE(says(error_of([&] { fields.text("n"); }), "expected a string"));
  EXPECT_TRUE(says(error_of([&] { JsonFields(json["list"], file); }),
                   "a list of 2 values: expected a JSON object"));
}

TEST(Quote, ShowsForeignBytesOnOneLine) {
  EXPECT_EQ(quote("plain"), "'plain'");
  EXPECT_EQ(quote("a\nb\x1b[31m\xff"), "'a\\x0ab\\x1b[31m\\xff'");
  EXPECT_EQ(quote(std::string(100, 'x'), 5), "'xxxxx...'");
}

TEST(HumanBytes, RoundsToThreeFigures) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.00 kB");
  EXPECT_EQ(human_bytes(548105171), "548 MB");
  EXPECT_EQ(human_bytes(99.94e9), "99.9 GB");
  EXPECT_EQ(human_bytes(999.6e6), "1.00 GB");
}

// To look through all of a container at the end of each of its elements took hours.
TEST(Json, ManyContainersTakeNoQuadraticTime) {
  constexpr size_t kCount = 1'000'000;
  std::string lists = "[[]", objects = "{\"0\":{}";
  for (size_t i = 1; i < kCount; ++i) {
    lists += ",[]";
    objects += ",\"" + std::to_string(i) + "\":{}";
  }
  EXPECT_EQ(parse_json(lists + "]", "j").size(), kCount);
  EXPECT_EQ(parse_json(objects + "}", "j").size(), kCount);
}

}  // namespace
}  // namespace vitrine
