// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "analysis/corpus/identity.h"
#include "base/json.h"
#include "vitrine/corpus/capture_file.h"

namespace vitrine::internal {

/// What manifest.json says about a shard. Its name follows from its number.
struct ShardEntry {
  uint64_t bytes = 0;
  std::string checksum;  ///< XXH64, 16 digits
  int64_t windows = 0, tokens = 0,
          documents = 0;                        ///< tokens with results; documents that begin in it
  int64_t first_document = 0, first_begin = 0;  ///< of its first window
  CorpusPosition last;                          ///< of its last one
  std::vector<NonFiniteSite> non_finite = {};   ///< positions in the document
};

/// manifest.json of one rank.
struct CorpusManifest {
  Json identity;
  std::vector<ShardEntry> shards;
  bool complete = false;
  int64_t skipped = 0;  ///< bad documents that were left out so far
  /// Of a complete capture: file, checksum and numbers of its statistics; null in earlier versions.
  Json statistics = nullptr;

  /// Throws Error (user) for a file that is not such a manifest: cut off, of another format, or
  /// with numbers that cannot be.
  static CorpusManifest read(const std::filesystem::path& path);
  /// Whole or not at all.
  void write(const std::filesystem::path& path) const;
  int64_t total(int64_t ShardEntry::*what) const;
  std::vector<CorpusPosition> ends() const;  ///< of the shards
};

std::string shard_name(size_t index);
/// The ranks' folders of a capture, in the order of their ranks. Throws Error (user) if there are
/// none.
std::vector<std::filesystem::path> rank_folders(const std::filesystem::path& folder);
std::string rank_folder_name(int64_t rank, int64_t world);

/// Compares a shard's file with its entry; empty: they agree, else what is wrong. `contents`: also
/// the checksum and what the file says about itself, which reads all of it and calls `on_bytes` as
/// xxh64_of_file does.
std::string shard_problem(const std::filesystem::path& path, const ShardEntry& entry, bool contents,
                          const std::function<void(size_t)>& on_bytes = {});

}  // namespace vitrine::internal
