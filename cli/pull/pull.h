// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "vitrine/progress.h"

namespace vitrine::cli {

struct PullOptions {
  std::string model;          ///< NAME or NAME@REVISION
  std::string revision = {};  ///< of an option; empty: none
  bool dry_run = false;       ///< asks, and writes nothing
  int parallel = 4;           ///< files at a time
};

struct PulledFile {
  std::string name, checksum;
  uint64_t bytes = 0;
  bool present = false;  ///< was in the cache before
};

struct PullResult {
  std::string name, revision, commit, endpoint;
  std::filesystem::path snapshot;
  std::vector<PulledFile> files;
};

/// Brings the files that a model is loaded from into the Hugging Face cache; see HubStore for the
/// layout. A reference (refs/main) is set once all files are there. Throws Error: (user) for what
/// was requested, (internal) for the network, the server and the disk.
PullResult pull(const PullOptions& options, Progress& progress);

}  // namespace vitrine::cli
