// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace vitrine::internal {

/// A permutation of 0..count-1: ranks of random words of PCG64, seeded with `key` as NumPy's
/// SeedSequence. Equal to permutation() of python/vitrine/shards/order.py.
std::vector<int64_t> seeded_permutation(int64_t count, std::span<const uint64_t> key);

/// A row by its shard and its number there.
struct ShardRow {
  int64_t shard = 0, row = 0;

  friend bool operator==(const ShardRow&, const ShardRow&) = default;
};

/// Rows of an epoch by their place in it: a function of seed and epoch alone, with random access.
/// Runs of `block_rows` neighbouring rows are blocks. The blocks of all shards are permuted,
/// neighbours in that order form groups of about `buffer_rows` rows, and the rows of a group are
/// permuted. Equal to Order of python/vitrine/shards/order.py.
class ShardOrder {
 public:
  struct Block {
    int64_t shard = 0, first = 0, rows = 0;
  };

  /// `shard_rows`: of each shard. Without a seed, rows keep their order.
  ShardOrder(std::span<const int64_t> shard_rows, std::optional<uint64_t> seed, uint64_t epoch,
             int64_t buffer_rows, int64_t block_rows);

  int64_t rows() const { return begins_.back(); }
  /// Of the places [begin, end) of the epoch.
  std::vector<ShardRow> locate(int64_t begin, int64_t end);
  /// Number of the group of a place, and the blocks of a group.
  int64_t group_of(int64_t place) const { return block_of(place) / per_group_; }
  std::span<const Block> blocks_of(int64_t group) const;

 private:
  int64_t block_of(int64_t place) const;
  const std::vector<int64_t>& permutation_of(int64_t group);

  std::optional<uint64_t> seed_;
  uint64_t epoch_;
  int64_t per_group_;  // blocks
  std::vector<Block> blocks_;
  std::vector<int64_t> begins_;  // of blocks in the epoch, then the number of rows
  std::list<std::pair<int64_t, std::vector<int64_t>>> permutations_;  // of the last two groups
};

}  // namespace vitrine::internal
