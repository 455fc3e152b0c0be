// SPDX-License-Identifier: MIT
#include "base/check.h"

#include <algorithm>

#include "analysis/corpus/manifest.h"
#include "analysis/corpus/statistics.h"
#include "base/mapped_file.h"
#include "base/xxhash64.h"
#include "vitrine/corpus/corpus_capture.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

bool holds_weights(const fs::path& path) {
  const std::string name = path.filename().string();
  return name == "config.json" || name.ends_with(".safetensors") || name.ends_with(".bin") ||
         name.ends_with(".index.json");
}

}  // namespace

CorpusCheck check_corpus_capture(const fs::path& folder, Progress* progress) {
  const auto ranks = rank_folders(folder);
  std::vector<CorpusManifest> manifests;
  uint64_t total = 0, done = 0;
  for (const fs::path& rank : ranks) {
    if (!fs::exists(rank / "manifest.json"))
      user_error("{}: missing manifest.json; its run has not finished a shard", rank.string());
    manifests.push_back(CorpusManifest::read(rank / "manifest.json"));
    for (const ShardEntry& shard : manifests.back().shards) total += shard.bytes;
  }
  CorpusCheck check;
  check.ranks = static_cast<int64_t>(ranks.size());
  check.complete = true;
  for (size_t r = 0; r < ranks.size(); ++r) {
    const CorpusManifest& manifest = manifests[r];
    const size_t problems = check.problems.size();
    const std::string file = (ranks[r] / "manifest.json").string();
    check.world = JsonFields(manifest.identity, file).require_integer("world", 1, int64_t{1} << 40);
    check.complete = check.complete && manifest.complete;
    for (size_t i = 0; i < manifest.shards.size(); ++i) {
      const std::string problem =
          shard_problem(ranks[r] / shard_name(i), manifest.shards[i], true, [&](size_t bytes) {
            if (progress) progress->update(done += bytes, total, "Checking");
          });
      if (!problem.empty()) check.problems.push_back(problem);
      check.bytes += manifest.shards[i].bytes;
      done = check.bytes;  // of a damaged shard, too
    }
    if (!manifest.statistics.is_null()) {
      const auto ends = manifest.ends();
      const std::string problem = statistics_problem(
          ranks[r], manifest.statistics, check.problems.size() == problems ? &ends : nullptr);
      if (!problem.empty()) check.problems.push_back(problem);
    }
    check.shards += static_cast<int64_t>(manifest.shards.size());
    check.windows += manifest.total(&ShardEntry::windows);
    check.tokens += manifest.total(&ShardEntry::tokens);
  }
  check.complete = check.complete && check.ranks == check.world;
  return check;
}

std::string checkpoint_digest(const fs::path& path, Progress* progress) {
  std::vector<fs::path> files;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    for (const auto& entry : fs::directory_iterator(path, error)) {
      if (entry.is_regular_file() && holds_weights(entry.path())) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  if (files.empty()) user_error("{}: contains no weights: expected a checkpoint", path.string());
  uint64_t total = 0, done = 0;
  for (const fs::path& file : files) {
    const uintmax_t bytes = fs::file_size(file, error);
    if (!error) total += bytes;  // what cannot be read is refused below
  }
  Xxh64 hash;
  for (const fs::path& file : files) {
    hash.update(file.filename().string());
    hash.update(hex64(xxh64_of_file(file, [&](size_t bytes) {
      if (progress) progress->update(done += bytes, total, "Identifying the model");
    })));
  }
  return "xxh64:" + hex64(hash.digest());
}

}  // namespace vitrine
