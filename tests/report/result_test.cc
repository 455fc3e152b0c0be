// SPDX-License-Identifier: MIT
// What derives from the description of a result: JSON, arrays, CSV.

#include "report/result.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/csv.h"
#include "support.h"
#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

/// Two rows of up to three places, and two candidates at each.
Result made_up() {
  return {.view = "lens",
          .title = "Made up",
          .help = "",
          .label = "",
          .facts = {{"mode", "plain"}},
          .axes = {{"row", std::vector<std::string>{"a", "b"}},
                   {"place", numbered(3), false, {3, 1}},
                   {"best", numbered(2, 1), true}},
          .tables = {{"", {}, {{"sum", std::vector{7.5}}}},
                     {"rows", {"row"}, {{"weight", std::vector<int32_t>{10, 20}}}},
                     {"cells",
                      {"row", "place"},
                      {{"x", std::vector{0.5, 1.5, std::nan(""), 3.5, 0.0, 0.0}, "nats"},
                       {.name = "y", .values = numbered(6), .derived = true}},
                      {{"best", {"best"}, {{"id", TokenIds{numbered(12)}}}},
                       {"list", {}, {{"", std::vector<JsonValue>(6, JsonValue(true))}}}}},
                     {"matrix", {"row", "best"}, {{"", std::vector{1.0, 2.0, 3.0, 4.0}}}}},
          .cells = {"row", "place"}};
}

TEST(Result, JsonNestsPartsAndCutsRaggedLists) {
  const Json json = Json::parse(result_json(made_up(), Names(nullptr)).dump());
  EXPECT_EQ(json["mode"], "plain");
  EXPECT_EQ(json["sum"], 7.5);
  EXPECT_EQ(json["rows"], Json::parse(R"([{"row":"a","weight":10},{"row":"b","weight":20}])"));
  EXPECT_EQ(json["matrix"], Json::parse("[[1,2],[3,4]]"));
  ASSERT_EQ(json["cells"].size(), 4u);
  EXPECT_EQ(json["cells"][3], Json::parse(R"({"row":"b","place":0,"x":3.5,"y":3,"list":true,
                                              "best":[{"id":{"id":6}},{"id":{"id":7}}]})"));
  EXPECT_TRUE(json["cells"][2]["x"].is_null());
}

TEST(Result, ArraysHaveTheShapesOfTheirAxes) {
  std::vector<std::pair<std::string, Tensor>> arrays;
  std::map<std::string, std::string> metadata;
  add_arrays(made_up(), 3, arrays, metadata);
  std::map<std::string, Shape> shapes;
  for (const auto& [name, tensor] : arrays) shapes[name] = tensor.shape();
  EXPECT_EQ(shapes, (std::map<std::string, Shape>{{"place.3", {3}},
                                                  {"sum.3", {}},
                                                  {"weight.3", {2}},
                                                  {"x.3", {2, 3}},
                                                  {"best_id.3", {2, 3, 2}},
                                                  {"matrix.3", {2, 2}}}))
      << "without what derives from others or is not a number";
  EXPECT_EQ(metadata["row.3"], R"(["a","b"])");
  const auto x = std::find_if(arrays.begin(), arrays.end(),
                              [](const auto& each) { return each.first == "x.3"; });
  EXPECT_EQ(static_cast<const double*>(x->second.data())[3], 3.5);
}

TEST(Result, ArraysOfTheirOwnNamesAreInArraysOnly) {
  Result result = made_up();
  const std::vector<float> vector = {1, 2};
  result.arrays.emplace_back("a.site", Tensor::from(vector));
  std::vector<std::pair<std::string, Tensor>> arrays;
  std::map<std::string, std::string> metadata;
  add_arrays(result, 3, arrays, metadata);
  EXPECT_EQ(arrays.back().first, "a.site");
  EXPECT_EQ(arrays.back().second.f32()[1], 2);
  EXPECT_EQ(result_json(result, Names(nullptr)).dump(),
            result_json(made_up(), Names(nullptr)).dump());
}

TEST(Result, CsvHasALineForEachCellThatExists) {
  Result result = made_up();
  result.tables.push_back({"early", {"best", "row", "place"}, {{"", numbered(12)}}});
  const std::string csv = results_csv({&result, 1}, Names(nullptr));
  EXPECT_EQ(csv,
            "result,row,place,weight,x (nats),y,best_1_id,best_2_id,early_1,early_2\n"
            "0,a,0,10,0.5,0,#0,#1,0,6\n"
            "0,a,1,10,1.5,1,#2,#3,1,7\n"
            "0,a,2,10,,2,#4,#5,2,8\n"
            "0,b,0,20,3.5,3,#6,#7,3,9\n");
}

TEST(Result, FieldsMustFitTheirAxes) {
  Result result = made_up();
  result.tables[1].fields[0].values = std::vector<int32_t>{1};
  EXPECT_TRUE(testing::says(testing::error_of([&] { leaves(result); }),
                            "field 'weight' of a result has 1 values, not 2"));
}

TEST(Result, SitesAreShortForTheEye) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(
      site_labels({"embed", "blocks.0.hook_resid_post", "blocks.11.hook_resid_post", "logits"}),
      (Texts{"embed", "0", "11", "logits"}));
  EXPECT_EQ(site_labels(
                {"blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.2.hook_resid_pre"}),
            (Texts{"embed", "0", "2 in"}));
  EXPECT_EQ(site_labels({"blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out"}), (Texts{"0", "1"}));
  EXPECT_EQ(site_labels({"blocks.0.hook_mlp_out", "blocks.1.attn.hook_z", "hook_embed"}),
            (Texts{"0 mlp_out", "1 attn.z", "embed"}));
}

TEST(Result, WhatIsNoNumberIsNullAndEmpty) {
  const Result result{.view = "lens",
                      .title = "",
                      .help = "",
                      .label = "",
                      .axes = {{"place", numbered(2), true}},
                      .tables = {{"cells",
                                  {"place"},
                                  {{"rank", std::vector<int32_t>{kNoNumber, 3}},
                                   {"share", std::vector<float>{std::nanf(""), 0.5f}},
                                   {"token", TokenIds{{-1, 4}}}}}}};
  EXPECT_EQ(Json::parse(result_json(result, Names(nullptr)).dump())["cells"],
            Json::parse(R"([{"rank":null,"share":null,"token":null},
                            {"rank":3,"share":0.5,"token":{"id":4}}])"));
  EXPECT_EQ(results_csv({&result, 1}, Names(nullptr)),
            "result,place,rank,share,token\n0,0,,,\n0,1,3,0.5,#4\n");
}

TEST(Result, RaggedPlacesFollowTheAxisBefore) {
  Result result = made_up();
  result.axes.push_back({"head", numbered(2)});
  result.tables = {{"maps", {"head", "row", "place"}, {{"", numbered(12)}}}};
  result.cells = {"head", "row", "place"};
  EXPECT_EQ(results_csv({&result, 1}, Names(nullptr)),
            "result,head,row,place,maps\n0,0,a,0,0\n0,0,a,1,1\n0,0,a,2,2\n0,0,b,0,3\n"
            "0,1,a,0,6\n0,1,a,1,7\n0,1,a,2,8\n0,1,b,0,9\n");
}

}  // namespace
}  // namespace vitrine
