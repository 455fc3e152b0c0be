// SPDX-License-Identifier: MIT
// Rows of two runs beside each other: which belong together, when a difference counts, and what a
// file must hold.

#include "bench/measure/records.h"

#include <gtest/gtest.h>

#include "tests/base/test_files.h"
#include "tests/support.h"

namespace vitrine::bench {
using namespace internal;
namespace {

using testing::TempFolder;
using Verdict = Compared::Verdict;

Row row_of(std::vector<double> seconds) {
  Row row;
  row.model = "gpt2";
  row.dtype = "f32";
  row.device = "cpu";
  row.threads = 2;
  row.workload = "forward";
  row.shape = "1 x 128 tokens";
  row.hooks = "none";
  row.seconds.values = std::move(seconds);
  return row;
}

Json file_of(const std::vector<Row>& rows) {
  Json json = {{"peer", "a peer 1.0"},
               {"machine", {{"cpu", "a processor"}, {"cores", 2}}},
               {"rows", Json::array()}};
  for (const Row& row : rows) json["rows"].push_back(row.json());
  return json;
}

class BenchRecords : public ::testing::Test {
 protected:
  Records read(const Json& json) { return read_records(folder_.write("rows.json", json.dump())); }
  TempFolder folder_;
};

TEST_F(BenchRecords, AChangeCountsWhereTheRangesDoNotMeet) {
  const auto verdict = [&](std::vector<double> now, std::vector<double> then) {
    return Comparison(read(file_of({row_of(std::move(then))})))
        .take(row_of(std::move(now)))
        ->verdict;
  };
  EXPECT_EQ(verdict({1, 2, 3}, {4, 5, 6}), Verdict::kFaster);
  EXPECT_EQ(verdict({7, 8, 9}, {4, 5, 6}), Verdict::kSlower);
  EXPECT_EQ(verdict({1, 2, 4}, {4, 5, 6}), Verdict::kWithinNoise) << "they touch";
  EXPECT_EQ(verdict({6, 8, 9}, {4, 5, 6}), Verdict::kWithinNoise);
  EXPECT_EQ(verdict({1, 2, 9}, {4, 5, 6}), Verdict::kWithinNoise);
  EXPECT_EQ(verdict({1}, {4, 5, 6}), Verdict::kWithinNoise) << "one measurement has no range";
  EXPECT_EQ(verdict({1, 2}, {4}), Verdict::kWithinNoise);
}

TEST_F(BenchRecords, TheRatioIsOfTheMediansOursAbove) {
  Comparison comparison(read(file_of({row_of({8, 10, 12})})));
  const std::optional<Compared> found = comparison.take(row_of({3, 2.5, 2}));
  EXPECT_EQ(found->ratio, 0.25);
  EXPECT_EQ(found->theirs.median, 10);
  EXPECT_EQ(found->theirs.count, 3);
  EXPECT_EQ(found->json()["verdict"], "faster");
}

TEST_F(BenchRecords, EveryPartOfTheKeyTellsRowsApart) {
  const Row row = row_of({1, 2});
  std::vector<Row> others(7, row);
  others[0].model = "gpt2-xl";
  others[1].dtype = "f16";
  others[2].device = "cuda:0";
  others[3].threads = 1;
  others[4].workload = "decode";
  others[5].shape = "2 x 128 tokens";
  others[6].hooks = "residual";
  Comparison comparison(read(file_of({row})));
  for (const Row& other : others) EXPECT_FALSE(comparison.take(other)) << other.json();
  EXPECT_EQ(comparison.only_here().size(), 7u);
  EXPECT_EQ(comparison.only_there(),
            std::vector<std::string>{"gpt2 f32 cpu 2 threads forward 1 x 128 tokens"});
  EXPECT_TRUE(comparison.take(row));
  EXPECT_TRUE(comparison.only_there().empty());
  std::vector<Row> all = others;
  all.push_back(row);
  EXPECT_EQ(read(file_of(all)).rows.size(), 8u);
}

TEST_F(BenchRecords, AGpuHasNoThreadsAndCudaIsTheFirst) {
  Row row = row_of({1, 2});
  row.device = "cuda:0";
  row.threads = 0;
  Json file = file_of({row});
  file["rows"][0]["device"] = "cuda";
  file["rows"][0]["threads"] = 16;
  EXPECT_TRUE(Comparison(read(file)).take(row));
}

TEST_F(BenchRecords, NoHooksAreNoneHoweverTheyAreWritten) {
  const Row row = row_of({1, 2});
  for (const Json& hooks : {Json("none"), Json(""), Json(nullptr)}) {
    Json file = file_of({row});
    file["rows"][0]["hooks"] = hooks;
    EXPECT_TRUE(Comparison(read(file)).take(row)) << hooks;
  }
}

TEST_F(BenchRecords, RowsWithoutATimeAreNoRows) {
  EXPECT_TRUE(read(file_of({row_of({})})).rows.empty());
  Comparison comparison(read(file_of({})));
  EXPECT_FALSE(comparison.take(row_of({})));
  EXPECT_TRUE(comparison.only_here().empty());
}

TEST_F(BenchRecords, OnlyFactsThatBothMachinesTellCanDiffer) {
  const Json here = {{"cpu", "a processor"},
                     {"cores", 8},
                     {"compiler", "GCC"},
                     {"rates", {{{"device", "cpu (AVX2)"}}, {{"device", "NVIDIA H200"}}}}};
  Json file = file_of({});
  EXPECT_EQ(Comparison(read(file)).machine_difference(here), "cores 8, there 2");
  file["machine"]["cores"] = 8;
  EXPECT_EQ(Comparison(read(file)).machine_difference(here), "");
  file["machine"]["gpu"] = "NVIDIA H100";
  const std::string gpus = Comparison(read(file)).machine_difference(here);
  EXPECT_NE(gpus.find("H200"), std::string::npos) << gpus;
  EXPECT_NE(gpus.find("H100"), std::string::npos) << gpus;
  EXPECT_EQ(gpus.find("AVX2"), std::string::npos) << gpus;
}

TEST_F(BenchRecords, WhatAFileLacksIsNamed) {
  const Json good = file_of({row_of({1, 2, 3}), row_of({1})});
  const auto refused = [&](const std::function<void(Json&)>& spoil) {
    Json file = good;
    file["rows"][1]["shape"] = "another";
    spoil(file);
    return test::user_error_of([&] { read(file); });
  };
  const auto names = [](const std::string& line, const std::vector<std::string>& words) {
    for (const std::string& word : words)
      EXPECT_NE(line.find(word), std::string::npos) << "'" << word << "' in: " << line;
  };
  names(refused([](Json& f) { f = 3; }), {"rows.json", "3"});
  names(refused([](Json& f) { f.erase("peer"); }), {"rows.json", "peer"});
  names(refused([](Json& f) { f.erase("rows"); }), {"rows", "missing"});
  names(refused([](Json& f) { f["rows"] = "none"; }), {"rows", "none"});
  names(refused([](Json& f) { f["machine"] = {1}; }), {"machine"});
  names(refused([](Json& f) { f["rows"][1] = 7; }), {"rows[1]", "7"});
  for (const char* field : {"model", "dtype", "device", "workload", "shape"}) {
    names(refused([&](Json& f) { f["rows"][1].erase(field); }), {"rows[1]", field, "missing"});
    names(refused([&](Json& f) { f["rows"][0][field] = 5; }), {"rows[0]", field, "5"});
  }
  names(refused([](Json& f) { f["rows"][1]["device"] = "tpu"; }),
        {"rows[1]", "device", "tpu", "cuda"});
  names(refused([](Json& f) { f["rows"][1]["threads"] = -1; }), {"rows[1]", "threads", "-1"});
  names(refused([](Json& f) { f["rows"][1]["seconds"] = 5; }), {"rows[1]", "seconds", "5"});
  names(refused([](Json& f) { f["rows"][1]["seconds"].erase("count"); }), {"seconds", "count"});
  names(refused([](Json& f) { f["rows"][1]["seconds"]["median"] = 0; }),
        {"seconds", "median", "0"});
  names(refused([](Json& f) { f["rows"][1]["seconds"]["min"] = 2; }), {"seconds", "min", "2"});
  names(refused([](Json& f) { f["rows"][1]["seconds"]["max"] = 0.5; }), {"seconds", "max", "0.5"});
  names(refused([](Json& f) { f["rows"][1]["seconds"]["max"] = "a lot"; }),
        {"seconds", "max", "a lot"});
  names(refused([](Json& f) { f["rows"][1] = f["rows"][0]; }),
        {"rows[1]", "gpt2", "duplicate row"});
}

}  // namespace
}  // namespace vitrine::bench
