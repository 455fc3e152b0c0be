// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vitrine::internal {

/// One sequence's part of a packed batch. Rows of all sequences are consecutive, without padding.
struct SequenceSlice {
  int64_t row = 0;   ///< its first row in the packed batch
  int64_t rows = 0;  ///< its new tokens in this pass
  int64_t past =
      0;  ///< tokens of it already in the cache; new token i attends to past + i + 1 positions
  int64_t cache = 0;     ///< where its keys and values begin in each layer's cache, in bytes;
                         ///< kv_bytes(capacity, ...) long
  int64_t capacity = 0;  ///< positions the cache holds; past + rows <= capacity
  int64_t map =
      0;  ///< where its [H, rows, past + rows] block of an attention map begins, in elements
};

/// The packed batch of a pass, as the operations that depend on tokens and positions see it.
struct PassBatch {
  std::span<const int32_t> ids{};        ///< [rows] token ids
  std::span<const int32_t> positions{};  ///< [rows] each sequence's own, from its past on
  std::span<const SequenceSlice> sequences{};
  std::byte* placed = nullptr;  ///< batch_bytes() in the backend's memory that place() has filled;
                                ///< null where that is 0
};

/// What a table is looked up by.
enum class Lookup : uint8_t { kTokens, kPositions };

}  // namespace vitrine::internal
