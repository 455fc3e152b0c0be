// SPDX-License-Identifier: MIT
#include "analysis/corpus/statistics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "analysis/corpus/manifest.h"
#include "base/check.h"
#include "base/finite.h"
#include "base/xxhash64.h"
#include "vitrine/corpus/corpus_statistics.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxBytes = uint64_t{4} << 30;
constexpr const char* kNorm = ".norm";

Moments moments_of(int64_t width, bool covariance) {
  return covariance ? Moments(width, kMaxBytes) : Moments::variances(width);
}

double row_norm(std::span<const float> row) {
  double sum = 0;
  for (const float value : row) sum += double{value} * double{value};
  return std::sqrt(sum);
}

}  // namespace

RowStatistics::RowStatistics(const Json& identity, const std::vector<WindowSite>& sites,
                             bool covariance) {
  CorpusMoments& moments = state_.moments;
  moments.parts = Json::array({identity}).dump();
  for (const WindowSite& site : sites) {
    moments.sites.push_back(
        {site.name, site.variable_names(), moments_of(site.width(), covariance)});
    moments.sites.push_back({site.name + kNorm, {"norm"}, Moments::variances(1)});
  }
}

RowStatistics::RowStatistics(const fs::path& path) : state_(read_moments_state(path)) {
  const auto& sites = state_.moments.sites;
  bool pairs = sites.size() % 2 == 0;
  for (size_t i = 0; pairs && i < sites.size(); i += 2)
    pairs = sites[i + 1].site == sites[i].site + kNorm && sites[i + 1].variables.size() == 1;
  if (!pairs)
    user_error("{}: damaged: expected the moments of rows and of their norms", path.string());
}

RowStatistics RowStatistics::empty() const {
  RowStatistics none = *this;
  none.state_.position = {};
  none.state_.moments.tokens = 0;
  for (SiteMoments& site : none.state_.moments.sites) {
    const Moments& sums = site.moments;
    site.moments = moments_of(sums.variables(), !sums.variances_only());
  }
  return none;
}

void RowStatistics::add_shard(const std::function<StoredRows(const std::string&)>& rows,
                              const CorpusPosition& last) {
  for (size_t i = 0; i < state_.moments.sites.size(); i += 2)
    add_rows(i, rows(state_.moments.sites[i].site));
  state_.position = last;
}

void RowStatistics::add_shard(const SafetensorsFile& file, const CorpusPosition& last) {
  add_shard([&](const std::string& site) { return stored_rows(file, site); }, last);
}

void RowStatistics::add_rows(size_t site, const StoredRows& rows) {
  Moments& all = state_.moments.sites[site].moments;
  const int64_t width = all.variables(), count = rows.rows();
  if (rows.width() != width)
    user_error("rows of {} in a shard: expected {} elements each", rows.values.shape().to_string(),
               width);
  Moments shard = moments_of(width, !all.variances_only()), norms = Moments::variances(1);
  std::vector<float> values;
  for (int64_t begin = 0; begin < count; begin += kMomentsBlock) {
    const int64_t some = std::min(kMomentsBlock, count - begin);
    values.clear();
    rows.append(begin, some, values);
    std::vector<float> kept;
    std::vector<double> lengths;
    for (int64_t row = 0; row < some; ++row) {
      const std::span<const float> one(values.data() + row * width, static_cast<size_t>(width));
      if (first_non_finite(one.data(), DType::kF32, width)) continue;
      kept.insert(kept.end(), one.begin(), one.end());
      lengths.push_back(row_norm(one));
    }
    shard.add(kept);
    norms.add(lengths);
  }
  all.merge(shard);
  state_.moments.sites[site + 1].moments.merge(norms);
}

Json RowStatistics::summary() const {
  Json sites = Json::array();
  for (size_t i = 0; i < state_.moments.sites.size(); i += 2) {
    const Moments& rows = state_.moments.sites[i].moments;
    const Moments& norms = state_.moments.sites[i + 1].moments;
    Json site = {{"site", state_.moments.sites[i].site}, {"rows", rows.observations()}};
    if (rows.observations() > 0) {
      double total = 0;
      for (const double variance : rows.variance(0)) total += variance;
      site["total_variance"] = total;
      site["mean_norm"] = norms.mean()[0];
      site["norm_deviation"] = std::sqrt(norms.variance(0)[0]);
    }
    sites.push_back(std::move(site));
  }
  return sites;
}

void RowStatistics::write(const fs::path& path, bool complete) {
  state_.moments.complete = complete;
  write_moments_state(state_, path);
}

bool operator==(const RowStatistics& a, const RowStatistics& b) {
  return same_sums(a.state_.moments, b.state_.moments);
}

RowStatistics statistics_up_to(const fs::path& folder, const RowStatistics& none,
                               const std::vector<CorpusPosition>& shards) {
  RowStatistics found = none;
  size_t done = 0;
  if (fs::exists(folder / kStatisticsFile)) {
    try {
      RowStatistics there(folder / kStatisticsFile);
      const auto last = std::find(shards.begin(), shards.end(), there.position());
      if (last != shards.end() && there.identity() == none.identity() && there.empty() == none) {
        done = static_cast<size_t>(last - shards.begin()) + 1;
        found = std::move(there);
      }
    } catch (const Error& damaged) {
      if (damaged.kind() != Error::Kind::kUser) throw;
    }
  }
  for (; done < shards.size(); ++done)
    found.add_shard(SafetensorsFile(folder / shard_name(done)), shards[done]);
  return found;
}

std::string statistics_problem(const fs::path& folder, const Json& entry,
                               const std::vector<CorpusPosition>* shards) {
  const fs::path path = folder / kStatisticsFile;
  if (!fs::exists(path)) return fmt::format("{}: is in the manifest, but not there", path.string());
  const std::string checksum = JsonFields(entry, path.string()).text("xxh64").value_or("");
  if (const std::string found = hex64(xxh64_of_file(path)); found != checksum)
    return fmt::format("{}: has the checksum {}; the manifest says {}", path.string(), found,
                       checksum);
  if (!shards) return "";
  try {
    const RowStatistics there(path);
    RowStatistics again = there.empty();
    for (size_t i = 0; i < shards->size(); ++i)
      again.add_shard(SafetensorsFile(folder / shard_name(i)), (*shards)[i]);
    return again == there ? ""
                          : fmt::format("{}: differs from the rows of the shards", path.string());
  } catch (const Error& damaged) {
    return damaged.what();
  }
}

}  // namespace vitrine::internal

namespace vitrine {
using namespace internal;
namespace {

/// Of a site and of its rows' norms.
SiteStatistics site_statistics(const SiteMoments& rows, const Moments& norms) {
  SiteStatistics found;
  found.site = rows.site;
  found.rows = rows.moments.observations();
  if (found.rows == 0) return found;
  found.mean = rows.moments.mean();
  found.variance = rows.moments.variance(0);
  found.mean_norm = norms.mean()[0];
  found.norm_deviation = std::sqrt(norms.variance(0)[0]);
  if (!rows.moments.variances_only()) found.covariance = rows.moments.covariance(0).values;
  return found;
}

}  // namespace

std::vector<SiteStatistics> corpus_statistics(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& rank : rank_folders(folder)) {
    const auto path = rank / "manifest.json";
    const CorpusManifest manifest = CorpusManifest::read(path);
    if (!manifest.complete)
      user_error("{}: incomplete: its run was interrupted; resume the capture", path.string());
    if (manifest.statistics.is_null())
      user_error("{}: has no statistics: its run was of an earlier version; read the shards",
                 path.string());
    const std::string problem = statistics_problem(rank, manifest.statistics, nullptr);
    if (!problem.empty()) user_error("{}; `vitrine corpus --repair` makes it again", problem);
    files.push_back(rank / kStatisticsFile);
  }
  const CorpusMoments merged = merge_moments(files);
  std::vector<SiteStatistics> found;
  for (size_t i = 0; i + 1 < merged.sites.size(); i += 2)
    found.push_back(site_statistics(merged.sites[i], merged.sites[i + 1].moments));
  return found;
}

}  // namespace vitrine
