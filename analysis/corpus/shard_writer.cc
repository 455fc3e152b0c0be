// SPDX-License-Identifier: MIT
#include "analysis/corpus/shard_writer.h"

#include <utility>

#include "base/xxhash64.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

/// So much is read again at most by a run that goes on after a kill.
constexpr uint64_t kBytesBetweenStatistics = 2'000'000'000;

}  // namespace

ShardWriter::ShardWriter(fs::path folder, CorpusManifest manifest, RowStatistics statistics)
    : folder_(std::move(folder)),
      manifest_(std::move(manifest)),
      statistics_(std::move(statistics)),
      thread_([this] { run(); }) {}

ShardWriter::~ShardWriter() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::unique_ptr<CorpusShard> ShardWriter::put(std::unique_ptr<CorpusShard> shard, int64_t skipped) {
  std::unique_lock lock(mutex_);
  wait(lock);
  shard_ = std::move(shard);
  skipped_ = skipped;
  changed_.notify_all();
  return std::move(written_);
}

size_t ShardWriter::shards() {
  const std::lock_guard lock(mutex_);
  return manifest_.shards.size();
}

const CorpusManifest& ShardWriter::drain() {
  std::unique_lock lock(mutex_);
  wait(lock);
  return manifest_;
}

void ShardWriter::wait(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return !shard_ || failure_; });
  if (failure_) std::rethrow_exception(failure_);
}

void ShardWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return shard_ || ended_; });
    if (!shard_) return;
    try {
      CorpusManifest manifest = manifest_;
      lock.unlock();
      write(*shard_, manifest);
      sum_up(*shard_, manifest.shards.back());
      lock.lock();
      manifest_ = std::move(manifest);
      written_ = std::move(shard_);
      written_->clear();
    } catch (...) {
      lock.lock();
      failure_ = std::current_exception();
      shard_.reset();
    }
    changed_.notify_all();
  }
}

void ShardWriter::write(const CorpusShard& shard, CorpusManifest& manifest) const {
  const fs::path path = folder_ / shard_name(manifest.shards.size());
  const uint64_t checksum = shard.write(path);
  const int64_t last = shard.windows() - 1;
  ShardEntry entry;
  entry.bytes = fs::file_size(path);
  entry.checksum = hex64(checksum);
  entry.windows = shard.windows();
  entry.tokens = shard.new_tokens();
  entry.documents = shard.documents_begun();
  entry.first_document = shard.document(0);
  entry.first_begin = shard.begin(0);
  entry.last = {shard.document(last), shard.begin(last), shard.digest()};
  entry.non_finite = shard.non_finite();
  manifest.shards.push_back(std::move(entry));
  manifest.skipped = skipped_;
  manifest.write(folder_ / "manifest.json");
}

void ShardWriter::sum_up(const CorpusShard& shard, const ShardEntry& entry) {
  statistics_.add_shard([&](const std::string& site) { return shard.rows(site); }, entry.last);
  unsaved_ += entry.bytes;
  if (unsaved_ < kBytesBetweenStatistics) return;
  statistics_.write(folder_ / kStatisticsFile, false);
  unsaved_ = 0;
}

}  // namespace vitrine::internal
