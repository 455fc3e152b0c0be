// SPDX-License-Identifier: MIT
#include "vitrine/corpus/corpus_estimate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "corpus_support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr CorpusEstimateOptions kQuick = {.seconds = 0.01};

/// Documents of one token, then about as many bytes of documents of 30, each of two digits.
struct LopsidedCorpus {
  LopsidedCorpus(const TempFolder& folder, size_t bytes) {
    const std::string one = "{\"ids\": [13]}\n";
    std::string text, thirty = "{\"ids\": [11";
    for (int i = 1; i < 30; ++i) thirty += ",12";
    thirty += "]}\n";
    for (; text.size() < bytes / 2; text += one, tokens += 1) ++documents;
    for (; text.size() < bytes; text += thirty, tokens += 30) ++documents;
    path = folder.write("lopsided.jsonl", text);
  }
  std::string path;
  int64_t documents = 0, tokens = 0;
};

TEST(CorpusEstimate, CountsWhatACaptureWrites) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 25);
  Hooks hooks;
  hooks.capture("blocks.{0,2}.hook_resid_post", {}, DType::kF16)
      .capture("blocks.1.attn.hook_z", {.positions = {-1, 4}, .heads = {1}});
  for (const WindowOptions& cut : {WindowOptions{}, {.window = 9, .overlap = 3, .prepend = 7}}) {
    const CorpusCaptureOptions options = {.shard_tokens = 64, .batch_tokens = 30};
    const fs::path out = folder / ("out" + std::to_string(cut.overlap));
    int64_t tokens = 0, rank_tokens = 0;
    uint64_t bytes = 0, all_bytes = 0;
    for (int64_t rank = 0; rank < 3; ++rank) {
      const CorpusOptions part = {.rank = rank, .world = 3};
      const CorpusEstimate found = estimate_corpus_capture(
          model, windows_of(model, path, cut, part), hooks, out, options, kQuick);
      EXPECT_EQ(fs::exists(out), rank > 0) << "nothing is written";
      const CorpusCaptureSummary wanted =
          capture_corpus(model, windows_of(model, path, cut, part), hooks, out, options);
      EXPECT_TRUE(found.counted);
      EXPECT_EQ(found.documents, 25);
      EXPECT_EQ(found.rank_tokens, wanted.tokens);
      EXPECT_EQ(found.shards, wanted.shards);
      EXPECT_EQ(found.shard_tokens, wanted.shard_tokens);
      EXPECT_EQ(found.buffer_bytes, wanted.buffer_bytes);
      EXPECT_NEAR(static_cast<double>(found.rank_bytes), static_cast<double>(wanted.bytes),
                  0.03 * static_cast<double>(wanted.bytes));
      EXPECT_GT(found.tokens_per_second, 0);
      EXPECT_GT(found.seconds, 0);
      tokens = found.tokens;
      all_bytes = found.bytes;
      rank_tokens += wanted.tokens;
      bytes += found.rank_bytes;
      ASSERT_EQ(found.sites.size(), 3u);
      EXPECT_EQ(found.sites[0].rows, found.tokens);
      EXPECT_EQ(found.sites[2].shape, (std::vector<int64_t>{1, 12}));
      EXPECT_LT(found.sites[2].rows, found.tokens) << "of selected positions";
    }
    EXPECT_EQ(tokens, rank_tokens) << "all ranks' tokens";
    EXPECT_NEAR(static_cast<double>(all_bytes), static_cast<double>(bytes),
                0.03 * static_cast<double>(bytes));
  }
}

TEST(CorpusEstimate, ASampleIsOfTheWholeCorpus) {
  const Model model = small_model();
  const TempFolder folder;
  const LopsidedCorpus corpus(folder, 5'000'000);
  Hooks hooks;
  hooks.capture("blocks.0.hook_resid_post");
  const CorpusEstimate found =
      estimate_corpus_capture(model, windows_of(model, corpus.path, {}, {.rank = 1, .world = 4}),
                              hooks, folder / "out", {}, {.seconds = 0.1});
  EXPECT_FALSE(found.counted);
  EXPECT_LT(found.sampled_documents, corpus.documents);
  // A sample of long documents, or of the beginning, is off by half and more.
  const auto documents = static_cast<double>(corpus.documents),
             tokens = static_cast<double>(corpus.tokens);
  EXPECT_NEAR(static_cast<double>(found.documents), documents, 0.25 * documents);
  EXPECT_NEAR(static_cast<double>(found.tokens), tokens, 0.25 * tokens);
  EXPECT_NEAR(static_cast<double>(found.rank_tokens), static_cast<double>(found.tokens) / 4, 1);
  EXPECT_NEAR(static_cast<double>(found.sites[0].bytes), 96.0 * static_cast<double>(found.tokens),
              100);
}

TEST(CorpusEstimate, NamesBadDocumentsAndStopsAtNone) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path =
      folder.write("c.jsonl", "{\"ids\": [1, 2]}\n{\"ids\": 3}\n{\"ids\": [4]}\n");
  Hooks hooks;
  hooks.capture("blocks.0.hook_resid_post");
  const auto estimate = [&](const std::string& file,
                            const CorpusEstimateOptions& options = kQuick) {
    return estimate_corpus_capture(model, windows_of(model, file), hooks, folder / "out", {},
                                   options);
  };
  const CorpusEstimate found = estimate(path);
  EXPECT_EQ(found.documents, 2);
  EXPECT_EQ(found.tokens, 3);
  EXPECT_EQ(found.bad_documents, 1);
  EXPECT_TRUE(says(found.first_bad, "c.jsonl: the document at byte 16 has \"ids\" of 3"))
      << found.first_bad;
  EXPECT_TRUE(says(user_error_of([&] { estimate("-"); }), "unknown size"));
  EXPECT_TRUE(
      says(user_error_of([&] { estimate(folder.write("b.jsonl", "{}\n")); }), "no valid document"));
  EXPECT_TRUE(
      says(user_error_of([&] { estimate(path, {.disk_rate = 0}); }), "invalid rate of the disk 0"));
  EXPECT_TRUE(says(user_error_of([&] { estimate(path, {.seconds = NAN}); }), "invalid time"));
  EXPECT_TRUE(says(
      user_error_of([&] { estimate_corpus_capture(model, windows_of(model, path), hooks, path); }),
      "c.jsonl: is a file: expected a folder"));
  EXPECT_TRUE(estimate(path, {.seconds = 0.01, .disk_rate = 1}).recomputing_is_faster());
  EXPECT_FALSE(estimate(path, {.seconds = 0.01, .disk_rate = 1e18}).recomputing_is_faster());
}

}  // namespace
}  // namespace vitrine::testing
