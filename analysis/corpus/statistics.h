// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "analysis/corpus/identity.h"
#include "analysis/corpus/moments_state.h"
#include "analysis/corpus/stored_rows.h"
#include "analysis/corpus/window_batches.h"
#include "base/json.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::internal {

inline constexpr const char* kStatisticsFile = "statistics.safetensors";

/// Sums over the stored rows of a rank's shards. Each shard is summed alone, and the shards' sums
/// are merged in their order, so that the bits depend on the shards alone: not on batches, stops or
/// repairs. The file is a state of moments, with two entries a site: SITE and SITE.norm.
class RowStatistics {
 public:
  /// Throws Error (user) for covariance matrices that are too large.
  RowStatistics(const Json& identity, const std::vector<WindowSite>& sites, bool covariance);
  /// As read from a file. Throws Error (user) for one that is damaged, and for other moments.
  explicit RowStatistics(const std::filesystem::path& path);

  /// `rows` of a site by its name.
  void add_shard(const std::function<StoredRows(const std::string&)>& rows,
                 const CorpusPosition& last);
  void add_shard(const SafetensorsFile& file, const CorpusPosition& last);

  /// Of the last shard; document -1: there was none.
  const CorpusPosition& position() const { return state_.position; }
  Json identity() const { return Json::parse(state_.moments.parts)[0]; }
  /// The same without sums.
  RowStatistics empty() const;
  /// For the manifest: by site, what fits there.
  Json summary() const;
  /// Whole or not at all. The same sums give the same bytes.
  void write(const std::filesystem::path& path, bool complete);

  friend bool operator==(const RowStatistics& a, const RowStatistics& b);

 private:
  void add_rows(size_t site, const StoredRows& rows);

  MomentsState state_;
};

/// The sums of some shards, the last of which ends at a position that `shards` has, or none. What
/// cannot be used is made again from the shards.
RowStatistics statistics_up_to(const std::filesystem::path& folder, const RowStatistics& none,
                               const std::vector<CorpusPosition>& shards);

/// Compares the file of a rank with the manifest's entry and, unless `shards` is null, with the
/// rows of all shards. Empty: they agree, else what is wrong.
std::string statistics_problem(const std::filesystem::path& folder, const Json& entry,
                               const std::vector<CorpusPosition>* shards);

}  // namespace vitrine::internal
