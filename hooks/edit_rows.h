// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "hooks/plan.h"
#include "kernels/backend.h"
#include "kernels/buffer_pool.h"

// What the edits of a pass work on.

namespace vitrine::internal {

/// Where the edits of a pass run. Everything referred to outlives the pass.
struct EditContext {
  Backend& backend;
  BufferPool& pool;       ///< of the backend's memory
  BufferPool& host_pool;  ///< of Backend::allocate_host()
  std::span<const SequenceSlice> slices;
};

/// Values that the host reads or writes on their way to or from the backend's memory; one and the
/// same memory where the host can.
class Staging {
 public:
  Staging(const EditContext& context, size_t count)
      : backend_(context.backend),
        bytes_(count * sizeof(float)),
        there_(context.pool.take(bytes_)),
        here_(backend_.host_memory() ? there_ : context.host_pool.take(bytes_)) {}

  std::span<float> values() const { return {here_.f32(), bytes_ / sizeof(float)}; }
  const Buffer& there() const { return there_; }
  /// From the backend's memory to values().
  void fetch() const {
    if (!backend_.host_memory()) backend_.download(here_.data(), there_.data(), bytes_);
  }
  /// From values() to the backend's memory.
  void send() const {
    if (!backend_.host_memory()) backend_.upload(there_.data(), here_.data(), bytes_);
  }

 private:
  Backend& backend_;
  size_t bytes_;
  Buffer there_, here_;
};

/// The rows of one sequence that an edit selects.
struct EditedRows {
  std::vector<int64_t> rows;       ///< of the packed batch, ascending
  std::vector<int64_t> positions;  ///< in the sequence
  std::vector<int64_t> requested;  ///< index into the request's positions
};

/// The same of a map block [H x rows, keys], head by head: rows of the block, and which keys each
/// of their queries sees.
struct EditedMapRows {
  std::vector<int64_t> rows;
  std::vector<int64_t> visible;  ///< keys up to the query's own
  std::vector<int64_t> hidden;   ///< of these the ones before its window; empty without a window

  EditedMapRows(const PlannedEdit& edit, const SequenceSlice& slice, const EditedRows& edited) {
    for (int head : edit.where.heads) {
      for (size_t i = 0; i < edited.rows.size(); ++i) {
        rows.push_back(head * slice.rows + edited.rows[i] - slice.row);
        visible.push_back(edited.positions[i] + 1);
        if (edit.window > 0) hidden.push_back(std::max<int64_t>(visible.back() - edit.window, 0));
      }
    }
  }
};

}  // namespace vitrine::internal
