// SPDX-License-Identifier: MIT
#include "vitrine/corpus/corpus_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>

#include "base/json.h"
#include "base/xxhash64.h"
#include "corpus_support.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/corpus/corpus_moments.h"
#include "vitrine/corpus/shard_reader.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// Two-pass sums of plain loops.
struct PlainStatistics {
  explicit PlainStatistics(const std::vector<std::vector<float>>& rows) {
    const size_t width = rows.front().size();
    const auto count = static_cast<double>(rows.size());
    mean.resize(width);
    covariance.resize(width * width);
    std::vector<double> norms;
    for (const auto& row : rows) {
      double squares = 0;
      for (size_t i = 0; i < width; ++i) {
        mean[i] += row[i] / count;
        squares += double{row[i]} * row[i];
      }
      norms.push_back(std::sqrt(squares));
      mean_norm += norms.back() / count;
    }
    for (const auto& row : rows) {
      for (size_t i = 0; i < width; ++i) {
        for (size_t j = 0; j < width; ++j)
          covariance[i * width + j] += (row[i] - mean[i]) * (row[j] - mean[j]) / count;
      }
    }
    for (const double norm : norms)
      norm_variance += (norm - mean_norm) * (norm - mean_norm) / count;
  }
  std::vector<double> mean, covariance;
  double mean_norm = 0, norm_variance = 0;
};

std::vector<std::vector<float>> stored_rows(const fs::path& folder, const std::string& site) {
  const ShardStore store(folder);
  std::vector<std::vector<float>> rows;
  for (int64_t i = 0; i < store.shards(); ++i) {
    const TensorView view = store.shard(i).tensor(site);
    for (int64_t row = 0; row < view.shape()[0]; ++row) rows.push_back(view.slice(row).to_f32());
  }
  return rows;
}

class CorpusStatistics : public ::testing::Test {
 protected:
  CorpusStatistics() {
    hooks_.capture("blocks.{0,2}.hook_resid_post", {}, DType::kF16)
        .capture("blocks.1.attn.hook_z", {.positions = {0}, .heads = {1}});
  }

  CorpusCaptureSummary capture(const std::string& name, int64_t rank = 0, int64_t world = 1,
                               bool covariance = false, int stop_after = 1000) const {
    int asked = 0;
    return capture_corpus(
        model_, reader(rank, world), hooks_, folder_ / name,
        {.shard_tokens = 60, .batch_tokens = 20, .covariance = covariance, .keep_going = [&] {
           return ++asked <= stop_after;
         }});
  }
  WindowReader reader(int64_t rank = 0, int64_t world = 1) const {
    return windows_of(model_, path_, {.window = 12}, {.rank = rank, .world = world});
  }
  CorpusRepair repair(const std::string& name) const {
    return repair_corpus(model_, reader(), hooks_, folder_ / name, {.shard_tokens = 60});
  }
  fs::path file(const std::string& name, const std::string& what = "statistics.safetensors") const {
    return folder_ / name / "rank-00000-of-00001" / what;
  }

  const TempFolder folder_;
  const Model model_ = small_model();
  const std::string path_ = ids_corpus(folder_, 60);
  Hooks hooks_;
};

TEST_F(CorpusStatistics, AreThoseOfTheStoredRowsOverAllRanks) {
  for (int64_t rank = 0; rank < 3; ++rank) capture("out", rank, 3, true);
  const auto found = corpus_statistics(folder_ / "out");
  ASSERT_EQ(found.size(), 3u);
  for (const SiteStatistics& site : found) {
    const auto rows = stored_rows(folder_ / "out", site.site);
    const PlainStatistics wanted(rows);
    EXPECT_EQ(site.rows, std::ssize(rows)) << site.site;
    const size_t width = wanted.mean.size();
    ASSERT_EQ(site.mean.size(), width);
    ASSERT_EQ(site.covariance.size(), width * width);
    EXPECT_NEAR(site.mean_norm, wanted.mean_norm, 1e-12 * wanted.mean_norm);
    EXPECT_NEAR(site.norm_deviation, std::sqrt(wanted.norm_variance), 1e-10);
    for (size_t i = 0; i < width; ++i) {
      EXPECT_NEAR(site.mean[i], wanted.mean[i], 1e-11);
      EXPECT_NEAR(site.variance[i], wanted.covariance[i * width + i], 1e-10);
      for (size_t j = 0; j < width; ++j)
        EXPECT_NEAR(site.covariance[i * width + j], wanted.covariance[i * width + j], 1e-10);
    }
  }
  capture("plain");
  const auto plain = corpus_statistics(folder_ / "plain");
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_TRUE(plain[i].covariance.empty()) << "unless requested";
    EXPECT_EQ(plain[i].rows, found[i].rows);
    for (size_t j = 0; j < plain[i].mean.size(); ++j) {
      EXPECT_NEAR(plain[i].mean[j], found[i].mean[j], 1e-11);
      EXPECT_NEAR(plain[i].variance[j], found[i].variance[j], 1e-10);
    }
  }
  EXPECT_EQ(read_moments(file("plain")).sites.size(), 6u) << "a state of vitrine covariance";
}

TEST_F(CorpusStatistics, TheManifestHasTheirNumbers) {
  capture("out");
  const Json json = read_json(file("out", "manifest.json"))["statistics"];
  EXPECT_EQ(json["file"], "statistics.safetensors");
  EXPECT_EQ(json["xxh64"], hex64(xxh64_of_file(file("out"))));
  const auto found = corpus_statistics(folder_ / "out");
  double total = 0;
  for (const double variance : found[0].variance) total += variance;
  EXPECT_EQ(json["sites"][0]["site"], found[0].site);
  EXPECT_EQ(json["sites"][0]["rows"], found[0].rows);
  EXPECT_EQ(json["sites"][0]["mean_norm"], found[0].mean_norm);
  EXPECT_NEAR(json["sites"][0]["total_variance"].get<double>(), total, 1e-9);
}

TEST_F(CorpusStatistics, HaveTheSameBytesAfterAnyStop) {
  capture("whole");
  const std::string wanted = read_bytes(file("whole"));
  std::string early;
  // A kill leaves an earlier file, none, or one that is cut off.
  for (int run = 0; !capture("stopped", 0, 1, false, 2).complete; ++run) {
    ASSERT_LT(run, 100);
    if (run == 0) early = read_bytes(file("stopped"));
    if (run % 4 == 1) fs::remove(file("stopped"));
    if (run % 4 == 2) fs::resize_file(file("stopped"), 40);
    if (run % 4 == 3) std::ofstream(file("stopped"), std::ios::binary) << early;
  }
  EXPECT_EQ(read_bytes(file("stopped")), wanted);
  EXPECT_EQ(read_bytes(file("stopped", "manifest.json")),
            read_bytes(file("whole", "manifest.json")));
}

TEST_F(CorpusStatistics, ARunWithoutThemIsReadAndResumed) {
  capture("whole");
  EXPECT_FALSE(capture("old", 0, 1, false, 4).complete);
  fs::remove(file("old"));  // as an earlier version leaves it
  EXPECT_TRUE(capture("old").complete);
  EXPECT_EQ(read_bytes(file("old")), read_bytes(file("whole")));
  Json json = read_json(file("old", "manifest.json"));
  json.erase("statistics");
  std::ofstream(file("old", "manifest.json")) << json.dump(1);
  fs::remove(file("old"));
  EXPECT_TRUE(check_corpus_capture(folder_ / "old").problems.empty());
  EXPECT_TRUE(repair("old").repaired.empty());
  EXPECT_TRUE(
      says(user_error_of([&] { corpus_statistics(folder_ / "old"); }), "has no statistics"));
}

TEST_F(CorpusStatistics, AreVerifiedAndRepaired) {
  capture("out");
  const std::string wanted = read_bytes(file("out"));
  const auto problems = [&] { return check_corpus_capture(folder_ / "out").problems; };
  EXPECT_TRUE(problems().empty());
  std::string damaged = wanted;
  damaged[damaged.size() - 5] ^= 1;
  for (const auto& [spoil, words] : std::vector<std::pair<std::function<void()>, std::string>>{
           {[&] { fs::remove(file("out")); }, "but not there"},
           {[&] { std::ofstream(file("out"), std::ios::binary) << damaged; },
            "has the checksum"}}) {
    spoil();
    ASSERT_EQ(problems().size(), 1u);
    EXPECT_TRUE(says(problems()[0], file("out").string(), words)) << problems()[0];
    EXPECT_EQ(repair("out").repaired.size(), 1u);
    EXPECT_EQ(read_bytes(file("out")), wanted);
  }
  // Sums of other rows, with a checksum that fits.
  CorpusMoments other = read_moments(file("out"));
  other.sites[0].moments.merge(other.sites[0].moments);
  write_moments(other, file("out"));
  Json json = read_json(file("out", "manifest.json"));
  json["statistics"]["xxh64"] = hex64(xxh64_of_file(file("out")));
  std::ofstream(file("out", "manifest.json")) << json.dump(1);
  ASSERT_EQ(problems().size(), 1u);
  EXPECT_TRUE(says(problems()[0], "differs from the rows"));
}

TEST_F(CorpusStatistics, LeaveRowsOutThatAreNotFinite) {
  hooks_.edit("blocks.2.hook_resid_post", scale(1e6f));  // above the range of f16
  EXPECT_FALSE(capture("out").non_finite.empty());
  const auto found = corpus_statistics(folder_ / "out");
  EXPECT_EQ(found[1].site, "blocks.2.hook_resid_post");
  EXPECT_LT(found[1].rows, found[0].rows);
  for (const double value : found[1].mean) EXPECT_TRUE(std::isfinite(value));
  EXPECT_TRUE(check_corpus_capture(folder_ / "out").problems.empty());
}

TEST_F(CorpusStatistics, AnotherKindBelongsToADifferentRun) {
  capture("out", 0, 1, false, 2);
  EXPECT_TRUE(says(user_error_of([&] { capture("out", 0, 1, true); }),
                   "belongs to a different run: plan.covariance"));
  EXPECT_TRUE(says(user_error_of([&] { corpus_statistics(folder_ / "out"); }), "incomplete"));
}

}  // namespace
}  // namespace vitrine::testing
