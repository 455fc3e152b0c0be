// SPDX-License-Identifier: MIT
#include "vitrine/corpus/shard_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <set>
#include <thread>

#include "analysis/corpus/shard_order.h"
#include "analysis/corpus/stored_rows.h"
#include "base/json.h"
#include "corpus_support.h"
#include "vitrine/corpus/corpus_capture.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using Batch = std::vector<std::vector<float>>;

constexpr const char* kResid = "blocks.0.hook_resid_post";
constexpr const char* kZ = "blocks.1.attn.hook_z";

/// A capture of two ranks with several shards each.
class ShardReader : public ::testing::Test {
 protected:
  ShardReader() {
    Hooks hooks;
    hooks.capture("blocks.{0,2}.hook_resid_post", {}, DType::kBF16)
        .capture(kZ, {.positions = {-1}, .heads = {1}}, DType::kF16);
    const std::string path = ids_corpus(folder_, 40);
    for (int64_t rank = 0; rank < 2; ++rank)
      capture_corpus(model_, windows_of(model_, path, {.window = 10}, {.rank = rank, .world = 2}),
                     hooks, out(), {.shard_tokens = 64});
  }

  fs::path out() const { return folder_ / "out"; }
  fs::path shard(int64_t rank, int64_t index) const {
    return out() / fmt::format("rank-{:05}-of-00002/shard-{:06}.safetensors", rank, index);
  }
  fs::path manifest(int64_t rank) const { return shard(rank, 0).parent_path() / "manifest.json"; }
  /// Rows of a site by shard, as the files have them.
  static std::vector<std::vector<float>> all_rows(const ShardStore& store,
                                                  const std::string& site) {
    std::vector<std::vector<float>> rows;
    for (int64_t i = 0; i < store.shards(); ++i) {
      const TensorView view = store.shard(i).tensor(site);
      for (int64_t row = 0; row < view.shape()[0]; ++row) rows.push_back(view.slice(row).to_f32());
    }
    return rows;
  }
  static std::vector<std::vector<float>> rows_of(const std::vector<float>& batch, size_t width) {
    std::vector<std::vector<float>> rows;
    for (size_t at = 0; at < batch.size(); at += width)
      rows.emplace_back(batch.begin() + static_cast<std::ptrdiff_t>(at),
                        batch.begin() + static_cast<std::ptrdiff_t>(at + width));
    return rows;
  }

  TempFolder folder_;
  const Model model_ = small_model();
};

// NumPy 2.4: argsort(PCG64(SeedSequence(key)).random_raw(count), kind="stable").
TEST(ShardOrder, PermutationsAreNumPys) {
  const auto permutation = [](int64_t count, std::vector<uint64_t> key) {
    return seeded_permutation(count, key);
  };
  EXPECT_EQ(permutation(12, {0, 0}), (std::vector<int64_t>{11, 3, 2, 1, 8, 6, 0, 7, 4, 10, 5, 9}));
  EXPECT_EQ(permutation(10, {(uint64_t{1} << 40) + 3, 5, 2}),
            (std::vector<int64_t>{9, 1, 6, 0, 4, 7, 5, 2, 8, 3}));
  EXPECT_TRUE(permutation(0, {1}).empty());
}

// Of python/vitrine/shards/order.py: Order([5, 0, 9, 3], seed=11, epoch=2, 6, 2).locate(3, 15).
TEST(ShardOrder, IsThePythonReaders) {
  const std::array<int64_t, 4> shards = {5, 0, 9, 3};
  ShardOrder order(shards, 11, 2, 6, 2);
  EXPECT_EQ(order.rows(), 17);
  EXPECT_EQ(order.locate(3, 15), (std::vector<ShardRow>{{2, 4},
                                                        {3, 0},
                                                        {2, 0},
                                                        {2, 6},
                                                        {0, 3},
                                                        {0, 2},
                                                        {3, 2},
                                                        {2, 7},
                                                        {0, 1},
                                                        {0, 0},
                                                        {0, 4},
                                                        {2, 8}}));
}

TEST(ShardOrder, WithoutASeedRowsKeepTheirOrder) {
  const std::array<int64_t, 3> shards = {3, 0, 2};
  ShardOrder order(shards, {}, 4, 4, 2);
  EXPECT_EQ(order.locate(1, 5), (std::vector<ShardRow>{{0, 1}, {0, 2}, {2, 0}, {2, 1}}));
}

TEST_F(ShardReader, EveryRowComesOnceAnEpochOverAllRanks) {
  const ShardStore store(out());
  EXPECT_TRUE(store.complete());
  EXPECT_GT(store.shards(), 6);
  EXPECT_EQ(store.sites(), (std::vector<std::string>{kResid, "blocks.2.hook_resid_post", kZ}));
  EXPECT_EQ(store.row_shape(kZ), (std::vector<int64_t>{1, 12}));
  EXPECT_EQ(store.stored(kZ), DType::kF16);
  for (const std::string site : {kResid, kZ}) {
    const auto wanted = all_rows(store, site);
    ASSERT_EQ(std::ssize(wanted), store.rows(site));
    for (const int64_t world : {1, 3}) {
      std::vector<std::vector<std::vector<float>>> epochs;
      for (int64_t epoch = 0; epoch < 2; ++epoch) {
        std::vector<std::vector<float>> rows;
        for (int64_t rank = 0; rank < world; ++rank) {
          ShardBatches batches(store, {site},
                               {.rows = 7,
                                .epochs = 2,
                                .rank = rank,
                                .world = world,
                                .drop_last = false,
                                .buffer_rows = 24,
                                .block_rows = 8});
          batches.seek(epoch * batches.batches_per_epoch());
          Batch batch;
          for (int64_t i = 0; i < batches.batches_per_epoch(); ++i) {
            ASSERT_TRUE(batches.next(batch));
            for (auto& row : rows_of(batch[0], wanted[0].size())) rows.push_back(std::move(row));
          }
          EXPECT_EQ(batches.next(batch), epoch == 0);
        }
        epochs.push_back(rows);
        EXPECT_NE(rows, wanted) << "it is shuffled";
        std::sort(rows.begin(), rows.end());
        auto sorted = wanted;
        std::sort(sorted.begin(), sorted.end());
        EXPECT_EQ(rows, sorted) << site << ", world " << world << ", epoch " << epoch;
      }
      EXPECT_NE(epochs[0], epochs[1]) << "each epoch has an order of its own";
    }
  }
}

TEST_F(ShardReader, RanksHaveTheBatchesOfOneReaderInTurn) {
  const ShardStore store(out());
  const auto all = [&](int64_t rank, int64_t world) {
    ShardBatches reader(
        store, {kResid, "blocks.2.hook_resid_post"},
        {.rows = 10, .seed = 5, .rank = rank, .world = world, .buffer_rows = 32, .block_rows = 4});
    std::vector<Batch> batches;
    for (Batch batch; reader.next(batch);) batches.push_back(batch);
    EXPECT_EQ(std::ssize(batches), reader.batches_per_epoch());
    return batches;
  };
  const auto one = all(0, 1), first = all(0, 2), second = all(1, 2);
  ASSERT_EQ(first.size(), one.size() / 2);
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i], one[2 * i]);
    EXPECT_EQ(second[i], one[2 * i + 1]);
  }
}

TEST_F(ShardReader, IsSharedByThreads) {
  const ShardStore store(out());
  std::vector<std::vector<Batch>> found(3);
  std::vector<std::thread> threads;
  for (auto& batches : found) {
    threads.emplace_back([&store, &batches] {
      ShardBatches reader(store, {kResid}, {.rows = 16, .buffer_rows = 64, .block_rows = 8});
      for (Batch batch; reader.next(batch);) batches.push_back(batch);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(found[0].empty());
  EXPECT_EQ(found[0], found[1]);
  EXPECT_EQ(found[0], found[2]);
}

TEST(StoredRows, Int8IsOffByHalfAStepAtMost) {
  std::vector<float> row;
  for (int i = 0; i < 1000; ++i) row.push_back(std::ldexp(std::sin(static_cast<float>(i)), i % 7));
  std::vector<int8_t> stored(row.size());
  const float scale = quantize_row(row, stored);
  float largest = 0;
  for (const float value : row) largest = std::max(largest, std::abs(value));
  EXPECT_FLOAT_EQ(scale, largest / 127);
  for (size_t i = 0; i < row.size(); ++i)
    EXPECT_LE(std::abs(row[i] - static_cast<float>(stored[i]) * scale), largest / 254 * 1.0001F)
        << i;
  EXPECT_EQ(quantize_row(std::vector<float>(1000), stored), 0);
  row[500] = -INFINITY;
  EXPECT_TRUE(std::isnan(quantize_row(row, stored)));
}

TEST_F(ShardReader, Int8RowsAreReadAsFloats) {
  Hooks hooks;
  hooks.capture("blocks.{0,2}.hook_resid_post").capture(kZ, {.positions = {-1, 2}, .heads = {1}});
  const std::string path = ids_corpus(folder_, 20);
  const auto capture = [&](const fs::path& to, bool int8, const Hooks& captured,
                           int stop_after = 1000) {
    int asked = 0;
    return capture_corpus(model_, windows_of(model_, path), captured, to,
                          {.shard_tokens = 64, .batch_tokens = 20, .int8 = int8, .keep_going = [&] {
                             return ++asked <= stop_after;
                           }});
  };
  const auto plain = capture(folder_ / "f32", false, hooks),
             small = capture(folder_ / "int8", true, hooks);
  EXPECT_LT(small.bytes, plain.bytes / 2);
  const ShardStore exact(folder_ / "f32"), rounded(folder_ / "int8");
  EXPECT_EQ(rounded.sites(), exact.sites());
  EXPECT_EQ(rounded.stored(kResid), DType::kI8);
  for (const std::string& site : exact.sites()) {
    const ShardBatchOptions options = {.rows = 8, .drop_last = false};
    ShardBatches wanted(exact, {site}, options), found(rounded, {site}, options);
    for (Batch a, b; wanted.next(a);) {
      ASSERT_TRUE(found.next(b));
      ASSERT_EQ(a[0].size(), b[0].size());
      const size_t width = site == kZ ? 12 : 24;
      const auto rows = rows_of(a[0], width), there = rows_of(b[0], width);
      for (size_t r = 0; r < rows.size(); ++r) {
        float largest = 0;
        for (const float value : rows[r]) largest = std::max(largest, std::abs(value));
        for (size_t i = 0; i < width; ++i)
          EXPECT_NEAR(there[r][i], rows[r][i], largest / 254 * 1.0001F) << site;
      }
    }
  }
  while (!capture(folder_ / "stops", true, hooks, 1).complete) {
  }
  for (const char* name : {"shard-000001.safetensors", "statistics.safetensors", "manifest.json"})
    EXPECT_EQ(read_bytes(folder_ / "stops/rank-00000-of-00001" / name),
              read_bytes(folder_ / "int8/rank-00000-of-00001" / name));
  EXPECT_TRUE(check_corpus_capture(folder_ / "int8").problems.empty());
  EXPECT_TRUE(says(user_error_of([&] { capture(folder_ / "f32", true, hooks); }), "plan.int8"));
  Hooks half;
  half.capture(kResid, {}, DType::kF16);
  EXPECT_TRUE(says(user_error_of([&] { capture(folder_ / "half", true, half); }),
                   "captured as f16, which int8 would round again"));
}

TEST_F(ShardReader, NamesWhatIsMissingOrDamaged) {
  const auto open = [&] { return user_error_of([&] { ShardStore store(out()); }); };
  const std::string bytes = read_bytes(shard(1, 1)), text = read_bytes(manifest(1));
  fs::remove(shard(1, 1));
  EXPECT_TRUE(says(open(), shard(1, 1).string(), "but not there", "--repair"));
  std::ofstream(shard(1, 1), std::ios::binary) << bytes.substr(0, bytes.size() - 1);
  EXPECT_TRUE(says(open(), "has " + std::to_string(bytes.size() - 1) + " bytes"));
  std::string other = bytes;  // of the same size, with a window less in its header
  const size_t at = other.find("\"shape\":[", other.find("\"documents\"")) + 9;
  ASSERT_NE(other[at], '9');
  ++other[at];
  std::ofstream(shard(1, 1), std::ios::binary) << other;
  const ShardStore store(out());
  int64_t index = 1;
  for (int64_t i = 0; fs::exists(shard(0, i)); ++i) ++index;
  EXPECT_NE(user_error_of([&] { store.shard(index); }).find(shard(1, 1).string()),
            std::string::npos);
  std::ofstream(shard(1, 1), std::ios::binary) << bytes;
  const auto changed = [&](const auto& change) {
    Json json = parse_json(text, "manifest");
    change(json);
    std::ofstream(manifest(1)) << json.dump();
    return open();
  };
  EXPECT_TRUE(says(changed([](Json& json) { json["complete"] = false; }), "incomplete"));
  EXPECT_EQ(ShardStore(out(), true).complete(), false);
  EXPECT_TRUE(says(changed([](Json& json) { json["shards"][0]["tokens"] = int64_t{1} << 50; }),
                   "damaged", "less than 1125899906842624 tokens take"));
  EXPECT_TRUE(says(changed([](Json& json) { json["identity"]["plan"]["window"] = 3; }),
                   "belongs to a different run: plan.window"));
  EXPECT_TRUE(says(changed([](Json& json) { json["identity"]["rank"] = 0; }), "another rank"));
  fs::remove_all(manifest(1).parent_path());
  EXPECT_TRUE(says(open(), "incomplete: 1 of 2 ranks"));
  EXPECT_FALSE(ShardStore(out(), true).complete());
}

TEST_F(ShardReader, RejectsInvalidOptions) {
  const ShardStore store(out());
  const auto refused = [&](std::vector<std::string> sites, const ShardBatchOptions& options) {
    return user_error_of([&] { ShardBatches batches(store, std::move(sites), options); });
  };
  EXPECT_TRUE(says(refused({"blocks.9.hook_resid_post"}, {}), "has no site", kResid));
  EXPECT_TRUE(says(refused({}, {}), "one or more different names"));
  EXPECT_TRUE(says(refused({kResid, kResid}, {}), "different names"));
  EXPECT_TRUE(says(refused({kResid, kZ}, {.rows = 4}), "has other rows than"));
  EXPECT_TRUE(says(refused({kResid}, {.rows = 0}), "invalid rows 0"));
  EXPECT_TRUE(says(refused({kResid}, {.rank = 2, .world = 2}), "invalid rank 2 of 2"));
  EXPECT_TRUE(says(refused({kResid}, {.rows = 1 << 20}), "make no batch"));
}

}  // namespace
}  // namespace vitrine::testing
