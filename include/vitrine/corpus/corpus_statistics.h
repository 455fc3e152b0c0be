// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vitrine {

/// Statistics of the stored rows of a site, over all ranks of a capture. Rows with NaN or infinity
/// are left out.
struct SiteStatistics {
  std::string site;
  int64_t rows = 0;
  std::vector<double> mean;      ///< [D], D elements of a row; empty without rows
  std::vector<double> variance;  ///< [D], with divisor `rows`
  /// Mean and standard deviation (divisor `rows`) of the rows' Euclidean lengths.
  double mean_norm = 0, norm_deviation = 0;
  /// [D, D] with divisor `rows`, where the capture has it (CorpusCaptureOptions::covariance).
  std::vector<double> covariance;
};

/// Statistics that a complete capture has beside its shards, merged in the order of its ranks: no
/// shard is read. Throws Error (user) for a folder without a capture, an incomplete one, a missing
/// rank, and one without statistics (of an earlier version).
std::vector<SiteStatistics> corpus_statistics(const std::filesystem::path& folder);

}  // namespace vitrine
