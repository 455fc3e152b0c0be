// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "analysis/corpus/manifest.h"
#include "analysis/corpus/shard.h"
#include "analysis/corpus/statistics.h"

namespace vitrine::internal {

/// Writes each shard and then the manifest, and sums up its rows, on a thread of its own while the
/// next shard is filled.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path folder, CorpusManifest manifest, RowStatistics statistics);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  /// Waits for the shard before, takes this one and gives that one back, empty; null if there was
  /// none. Throws what went wrong with the one before.
  std::unique_ptr<CorpusShard> put(std::unique_ptr<CorpusShard> shard, int64_t skipped);
  /// Shards in the manifest on the disk.
  size_t shards();
  /// Waits until everything is on the disk.
  const CorpusManifest& drain();
  /// Of the shards in the manifest; after drain().
  RowStatistics& statistics() { return statistics_; }

 private:
  void wait(std::unique_lock<std::mutex>& lock);
  void run();
  void write(const CorpusShard& shard, CorpusManifest& manifest) const;
  void sum_up(const CorpusShard& shard, const ShardEntry& entry);

  std::filesystem::path folder_;
  CorpusManifest manifest_;
  RowStatistics statistics_;  // the thread's, until drain()
  uint64_t unsaved_ = 0;      // bytes of shards since the statistics were written
  std::mutex mutex_;          // guards everything below, and manifest_
  std::condition_variable changed_;
  std::unique_ptr<CorpusShard> shard_, written_;
  int64_t skipped_ = 0;
  std::exception_ptr failure_;
  bool ended_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vitrine::internal
