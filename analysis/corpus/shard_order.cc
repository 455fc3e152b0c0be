// SPDX-License-Identifier: MIT
#include "analysis/corpus/shard_order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "base/ceil_div.h"

namespace vitrine::internal {
namespace {

/// NumPy's SeedSequence, after Melissa O'Neill's seed_seq_fe.
class SeedSequence {
 public:
  explicit SeedSequence(std::span<const uint64_t> key) {
    std::vector<uint32_t> entropy;
    for (const uint64_t number : key) {
      entropy.push_back(static_cast<uint32_t>(number));
      if (number >> 32 != 0) entropy.push_back(static_cast<uint32_t>(number >> 32));
    }
    uint32_t factor = 0x43b0d7e5;
    const auto hash = [&](uint32_t value) {
      value ^= factor;
      factor *= 0x931e8875;
      value *= factor;
      return value ^ value >> 16;
    };
    for (size_t i = 0; i < pool_.size(); ++i) pool_[i] = hash(i < entropy.size() ? entropy[i] : 0);
    for (size_t from = 0; from < pool_.size(); ++from) {
      for (size_t to = 0; to < pool_.size(); ++to) {
        if (from != to) pool_[to] = mix(pool_[to], hash(pool_[from]));
      }
    }
    for (size_t i = pool_.size(); i < entropy.size(); ++i) {
      for (uint32_t& word : pool_) word = mix(word, hash(entropy[i]));
    }
  }

  std::array<uint64_t, 4> state() const {
    std::array<uint64_t, 4> words{};
    uint32_t factor = 0x8b51f9dd;
    for (size_t i = 0; i < 2 * words.size(); ++i) {
      uint32_t value = pool_[i % pool_.size()] ^ factor;
      factor *= 0x58f38ded;
      value *= factor;
      value ^= value >> 16;
      words[i / 2] |= uint64_t{value} << 32 * (i % 2);
    }
    return words;
  }

 private:
  static uint32_t mix(uint32_t x, uint32_t y) {
    const uint32_t result = 0xca01f9dd * x - 0x4973f715 * y;
    return result ^ result >> 16;
  }

  std::array<uint32_t, 4> pool_{};
};

/// O'Neill's PCG XSL RR 128/64, seeded as NumPy does.
class Pcg64 {
 public:
  explicit Pcg64(std::span<const uint64_t> key) {
    const std::array<uint64_t, 4> words = SeedSequence(key).state();
    increment_ = join(words[2], words[3]) << 1 | 1;
    step();
    state_ += join(words[0], words[1]);
    step();
  }

  uint64_t operator()() {
    step();
    const auto high = static_cast<uint64_t>(state_ >> 64), low = static_cast<uint64_t>(state_);
    return std::rotr(high ^ low, static_cast<int>(high >> 58));
  }

 private:
  __extension__ using Wide = unsigned __int128;

  static Wide join(uint64_t high, uint64_t low) { return Wide{high} << 64 | low; }
  void step() { state_ = state_ * join(0x2360ed051fc65da4, 0x4385df649fccf645) + increment_; }

  Wide state_ = 0, increment_ = 0;
};

}  // namespace

std::vector<int64_t> seeded_permutation(int64_t count, std::span<const uint64_t> key) {
  Pcg64 random(key);
  std::vector<uint64_t> words(static_cast<size_t>(count));
  std::generate(words.begin(), words.end(), [&] { return random(); });
  std::vector<int64_t> order(words.size());
  std::iota(order.begin(), order.end(), 0);
  const auto word = [&](int64_t i) { return words[static_cast<size_t>(i)]; };
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return word(a) != word(b) ? word(a) < word(b) : a < b; });
  return order;
}

ShardOrder::ShardOrder(std::span<const int64_t> shard_rows, std::optional<uint64_t> seed,
                       uint64_t epoch, int64_t buffer_rows, int64_t block_rows)
    : seed_(seed), epoch_(epoch), per_group_(std::max<int64_t>(1, buffer_rows / block_rows)) {
  std::vector<Block> blocks;
  for (size_t shard = 0; shard < shard_rows.size(); ++shard) {
    for (int64_t first = 0; first < shard_rows[shard]; first += block_rows)
      blocks.push_back(
          {static_cast<int64_t>(shard), first, std::min(block_rows, shard_rows[shard] - first)});
  }
  if (seed_) {
    const std::array<uint64_t, 2> key = {*seed_, epoch_};
    for (const int64_t i : seeded_permutation(std::ssize(blocks), key))
      blocks_.push_back(blocks[static_cast<size_t>(i)]);
  } else {
    blocks_ = std::move(blocks);
  }
  begins_.push_back(0);
  for (const Block& block : blocks_) begins_.push_back(begins_.back() + block.rows);
}

int64_t ShardOrder::block_of(int64_t place) const {
  return std::upper_bound(begins_.begin(), begins_.end(), place) - begins_.begin() - 1;
}

std::span<const ShardOrder::Block> ShardOrder::blocks_of(int64_t group) const {
  const auto first = static_cast<size_t>(group * per_group_);
  return std::span(blocks_).subspan(
      first, std::min(static_cast<size_t>(per_group_), blocks_.size() - first));
}

const std::vector<int64_t>& ShardOrder::permutation_of(int64_t group) {
  for (const auto& [number, permutation] : permutations_) {
    if (number == group) return permutation;
  }
  if (permutations_.size() == 2) permutations_.pop_front();
  int64_t rows = 0;
  for (const Block& block : blocks_of(group)) rows += block.rows;
  const std::array<uint64_t, 3> key = {*seed_, epoch_, static_cast<uint64_t>(group)};
  permutations_.emplace_back(group, seeded_permutation(rows, key));
  return permutations_.back().second;
}

std::vector<ShardRow> ShardOrder::locate(int64_t begin, int64_t end) {
  std::vector<ShardRow> found;
  for (int64_t place = begin; place < end; ++place) {
    int64_t at = place;
    if (seed_) {
      const int64_t group = group_of(place),
                    first = begins_[static_cast<size_t>(group * per_group_)];
      at = first + permutation_of(group)[static_cast<size_t>(place - first)];
    }
    const auto block = static_cast<size_t>(block_of(at));
    found.push_back({blocks_[block].shard, blocks_[block].first + at - begins_[block]});
  }
  return found;
}

}  // namespace vitrine::internal
