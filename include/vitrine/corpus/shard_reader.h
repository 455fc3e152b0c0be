// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/dtype.h"

namespace vitrine {

// Reads what capture_corpus wrote, memory-mapped, for programs that train on it. Batches are those
// of Python's vitrine.shards: the same rows in the same order for the same arguments.

/// Shards of a capture as one table of rows: rank by rank, shard by shard. Copies share their state
/// and may be used by several threads.
class ShardStore {
 public:
  /// Reads all manifests and compares the sizes of the files with them. `incomplete`: accepts a
  /// capture that has not ended, as far as its manifests go. Throws Error (user) naming the first
  /// manifest or shard that is missing, damaged, incomplete or of another run, and for a capture
  /// without shards.
  explicit ShardStore(const std::filesystem::path& folder, bool incomplete = false);

  const std::filesystem::path& folder() const;
  bool complete() const;
  const std::vector<std::string>& sites() const;  ///< in the order of the shards' tensors
  int64_t shards() const;
  int64_t tokens() const;  ///< with results
  uint64_t bytes() const;  ///< of all shards

  // Each throws Error (user) for a site that the capture does not have, listing those that it has.
  int64_t rows(std::string_view site) const;
  std::vector<int64_t> row_shape(std::string_view site) const;  ///< [D], [H, K], ...
  DType stored(std::string_view site) const;  ///< f32, f16, bf16, or i8 with scales

  /// One shard, see corpus_capture.h for its tensors. Throws Error (user) for one that is damaged
  /// or has other rows than its manifest says.
  SafetensorsFile shard(int64_t index) const;

 private:
  friend class ShardBatches;
  struct State;
  std::shared_ptr<State> state_;
};

struct ShardBatchOptions {
  int64_t rows = 4096;  ///< of a batch, 1 or more
  /// Order of the rows; empty: that of the shards.
  std::optional<uint64_t> seed = 0;
  int64_t epochs = 1;  ///< 0: no end
  /// This reader has the batches rank, rank + world, ... of each epoch.
  int64_t rank = 0, world = 1;
  /// true: all ranks have equally many whole batches; false: every row is in a batch.
  bool drop_last = true;
  /// Blocks of `block_rows` neighbouring rows are shuffled over all shards, and rows within about
  /// `buffer_rows`.
  int64_t buffer_rows = 1 << 18, block_rows = 1 << 10;
};

/// Batches of rows of one or several sites. Not thread-safe.
class ShardBatches {
 public:
  /// Throws Error (user) for no sites, an unknown or duplicate one, sites of different rows,
  /// options out of range, and where no batch comes out.
  ShardBatches(const ShardStore& store, std::vector<std::string> sites,
               const ShardBatchOptions& options = {});
  ShardBatches(ShardBatches&&) noexcept;
  ShardBatches& operator=(ShardBatches&&) noexcept;
  ~ShardBatches();

  /// Reads the next batch: of each site its rows [n, ...] as float32, the same n for all. Returns
  /// false after the last. Throws Error (user) as ShardStore::shard().
  bool next(std::vector<std::vector<float>>& batch);

  int64_t batches_per_epoch() const;  ///< of this rank
  int64_t taken() const;              ///< batches so far
  /// Continues as if `taken` batches had been read.
  void seek(int64_t taken);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
