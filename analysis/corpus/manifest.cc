// SPDX-License-Identifier: MIT
#include "analysis/corpus/manifest.h"

#include <algorithm>
#include <limits>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "base/xxhash64.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifestFormat = "vitrine corpus capture 1";
constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max() / 4;
constexpr size_t kMaxManifest = size_t{1} << 30;

Json shard_json(const ShardEntry& shard, size_t index) {
  Json json = {{"file", shard_name(index)},
               {"bytes", shard.bytes},
               {"xxh64", shard.checksum},
               {"windows", shard.windows},
               {"tokens", shard.tokens},
               {"documents", shard.documents},
               {"first", {{"document", shard.first_document}, {"begin", shard.first_begin}}},
               {"last", position_json(shard.last)}};
  for (const NonFiniteSite& site : shard.non_finite) {
    json["non_finite"].push_back({{"site", site.name},
                                  {"count", site.count},
                                  {"document", site.text},
                                  {"position", site.position}});
  }
  return json;
}

std::vector<NonFiniteSite> non_finite_from(const JsonFields& fields, const std::string& where) {
  std::vector<NonFiniteSite> sites;
  const Json* list = fields.find("non_finite");
  if (!list) return sites;
  if (!list->is_array()) fields.refuse("non_finite", "expected a list of sites");
  for (const Json& entry : *list) {
    const JsonFields site(entry, where);
    sites.push_back({.name = site.text("site").value_or(""),
                     .count = site.require_integer("count", 1, kMaxCount),
                     .text = site.require_integer("document", 0, kMaxCount),
                     .position = site.require_integer("position", 0, kMaxCount)});
  }
  return sites;
}

ShardEntry shard_from(const Json& json, size_t index, const std::string& file) {
  const std::string where = fmt::format("{}: shard {}", file, index);
  const JsonFields fields(json, where);
  if (fields.text("file") != shard_name(index))
    fields.refuse("file", fmt::format("expected {}", shard_name(index)));
  ShardEntry shard;
  shard.bytes = static_cast<uint64_t>(fields.require_integer("bytes", 1, kMaxCount));
  shard.checksum = fields.text("xxh64").value_or("");
  if (shard.checksum.size() != 16) fields.refuse("xxh64", "expected 16 digits");
  shard.windows = fields.require_integer("windows", 1, kMaxCount);
  shard.tokens = fields.require_integer("tokens", 1, kMaxCount);
  shard.documents = fields.require_integer("documents", 0, kMaxCount);
  for (const char* name : {"first", "last"}) {
    if (!fields.has(name)) fields.refuse(name, "expected a document and a begin");
  }
  const JsonFields first(*fields.find("first"), where);
  shard.first_document = first.require_integer("document", 0, kMaxCount);
  shard.first_begin = first.require_integer("begin", 0, kMaxCount);
  shard.last = position_from(*fields.find("last"), where);
  shard.non_finite = non_finite_from(fields, where);
  if (shard.last.document < shard.first_document)
    fields.refuse("last", "expected a document after the first");
  return shard;
}

/// The number of elements of a one-dimensional tensor; -1 if there is none.
int64_t length_of(const SafetensorsFile& file, const char* name) {
  if (!file.has(name)) return -1;
  const Shape shape = file.tensor(name).shape();
  return shape.rank() == 1 ? shape[0] : -1;
}

}  // namespace

std::string shard_name(size_t index) { return fmt::format("shard-{:06}.safetensors", index); }
std::string rank_folder_name(int64_t rank, int64_t world) {
  return fmt::format("rank-{:05}-of-{:05}", rank, world);
}

int64_t CorpusManifest::total(int64_t ShardEntry::*what) const {
  uint64_t sum = 0;  // unsigned: a manifest that lies may make it wrap
  for (const ShardEntry& shard : shards) sum += static_cast<uint64_t>(shard.*what);
  return static_cast<int64_t>(sum);
}

std::vector<fs::path> rank_folders(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().starts_with("rank-") && entry.is_directory())
      found.push_back(entry.path());
  }
  if (error) system_failure(error.value(), folder.string(), "cannot be read as a folder");
  if (found.empty())
    user_error("{}: contains no capture of a corpus: missing folder rank-...", folder.string());
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<CorpusPosition> CorpusManifest::ends() const {
  std::vector<CorpusPosition> ends;
  for (const ShardEntry& shard : shards) ends.push_back(shard.last);
  return ends;
}

CorpusManifest CorpusManifest::read(const fs::path& path) {
  const std::string file = path.string();
  const Json json = read_json(path, kMaxManifest);
  const JsonFields fields(json, file);
  if (fields.text("format") != kManifestFormat)
    fields.refuse("format", fmt::format("expected '{}'", kManifestFormat));
  CorpusManifest manifest;
  if (!fields.has("identity") || !fields.find("identity")->is_object())
    fields.refuse("identity", "expected an object");
  manifest.identity = *fields.find("identity");
  const auto complete = fields.boolean("complete");
  if (!complete) fields.refuse("complete", "expected true or false");
  manifest.complete = *complete;
  manifest.skipped = fields.require_integer("skipped", 0, kMaxCount);
  if (const Json* statistics = fields.find("statistics")) {
    if (!statistics->is_object()) fields.refuse("statistics", "expected an object");
    manifest.statistics = *statistics;
  }
  const Json* shards = fields.find("shards");
  if (!shards || !shards->is_array()) fields.refuse("shards", "expected a list");
  for (const Json& shard : *shards)
    manifest.shards.push_back(shard_from(shard, manifest.shards.size(), file));
  return manifest;
}

void CorpusManifest::write(const fs::path& path) const {
  Json json = {{"format", kManifestFormat},
               {"identity", identity},
               {"complete", complete},
               {"skipped", skipped},
               {"shards", Json::array()}};
  if (!statistics.is_null()) json["statistics"] = statistics;
  for (size_t i = 0; i < shards.size(); ++i) json["shards"].push_back(shard_json(shards[i], i));
  write_file(path, json.dump(1) + "\n");
}

std::string shard_problem(const fs::path& path, const ShardEntry& entry, bool contents,
                          const std::function<void(size_t)>& on_bytes) {
  std::error_code error;
  const uintmax_t bytes = fs::file_size(path, error);
  if (error) return fmt::format("{}: is in the manifest, but not there", path.string());
  if (bytes != entry.bytes)
    return fmt::format("{}: has {} bytes; the manifest says {}", path.string(), bytes, entry.bytes);
  if (!contents) return "";
  if (const std::string found = hex64(xxh64_of_file(path, on_bytes)); found != entry.checksum) {
    return fmt::format("{}: has the checksum {}; the manifest says {}", path.string(), found,
                       entry.checksum);
  }
  try {
    const SafetensorsFile file(path);
    if (length_of(file, "documents") == entry.windows &&
        length_of(file, "offsets") == entry.windows + 1)
      return "";
    return fmt::format("{}: has {} windows; the manifest says {}", path.string(),
                       length_of(file, "documents"), entry.windows);
  } catch (const Error& damaged) {
    return damaged.what();
  }
}

}  // namespace vitrine::internal
