// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "analysis/corpus/non_finite_tally.h"
#include "analysis/corpus/stored_rows.h"
#include "analysis/corpus/window_batches.h"

namespace vitrine::internal {

/// Whether some token may have no row at some site.
bool has_sparse_rows(const std::vector<WindowSite>& sites, const WindowOptions& windows);
/// Maximum tokens of a shard: `requested`, or for 0 as many as fill about 128 MB; at least a
/// window. Throws Error (user) for a negative number and for a shard beyond any memory.
int64_t shard_limit(const std::vector<WindowSite>& sites, const WindowOptions& windows,
                    int64_t requested);

/// A shard in memory.
class CorpusShard {
 public:
  /// `sparse`: not every token has a row at every site. Reserves the memory of `tokens` tokens.
  CorpusShard(const std::vector<WindowSite>& sites, bool sparse, int64_t tokens);

  /// Whether one more window still belongs in here.
  bool takes(const Window& window) const {
    return windows() == 0 || tokens_ + static_cast<int64_t>(window.ids.size()) <= limit_;
  }
  /// Window `s` of the batch.
  void add(const WindowBatch& batch, size_t s);
  /// As a file, whole or not at all. The same windows give the same bytes. Returns their XXH64.
  uint64_t write(const std::filesystem::path& path) const;
  void clear();

  int64_t windows() const { return static_cast<int64_t>(documents_.size()); }
  int64_t new_tokens() const { return new_tokens_; }
  int64_t documents_begun() const;
  int64_t document(int64_t window) const { return documents_[static_cast<size_t>(window)]; }
  int64_t begin(int64_t window) const { return begins_[static_cast<size_t>(window)]; }
  uint64_t digest() const { return digest_; }  ///< of the reader, at the last window
  /// Rows of a site by its name.
  StoredRows rows(const std::string& site) const;
  const std::vector<NonFiniteSite>& non_finite() const { return tally_.sites(); }
  /// Bytes of a shard of `tokens` tokens, about.
  static uint64_t bytes(const std::vector<WindowSite>& sites, bool sparse, int64_t tokens);

 private:
  StoredRows rows_of(size_t site) const;

  struct Rows {
    std::vector<std::byte> values;
    std::vector<float> scales;                // of int8
    std::vector<int64_t> positions, offsets;  // where not every token has a row
  };

  const std::vector<WindowSite>& sites_;
  bool sparse_;
  int64_t limit_;
  int64_t tokens_ = 0, new_tokens_ = 0;
  uint64_t digest_ = 0;
  std::vector<int32_t> ids_;
  std::vector<int64_t> offsets_, documents_, begins_, repeated_;
  std::vector<Rows> rows_;  // by site
  NonFiniteTally tally_;
};

}  // namespace vitrine::internal
