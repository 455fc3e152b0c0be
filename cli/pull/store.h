// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

#include "cli/pull/hub.h"

namespace vitrine::cli {

/// The folder of one repository in the Hugging Face cache, in huggingface_hub's own layout:
/// blobs/CHECKSUM holds each content once, snapshots/COMMIT/NAME are relative links to them,
/// refs/REVISION names a commit, and .locks beside the repositories has a lock a blob.
class HubStore {
 public:
  HubStore(const std::filesystem::path& cache, const std::string& name, std::string commit);

  std::filesystem::path blob(const HubFile& file) const { return folder_ / "blobs" / file.etag; }
  /// What an interrupted download has brought so far.
  std::filesystem::path incomplete(const HubFile& file) const;
  std::filesystem::path lock(const HubFile& file) const;
  std::filesystem::path snapshot() const { return folder_ / "snapshots" / commit_; }

  /// Whether the blob is there with its size.
  bool has(const HubFile& file) const;
  /// Creates the folders. Throws Error.
  void create() const;
  /// Makes the file part of the snapshot. Its blob must be there.
  void link(const HubFile& file) const;
  /// Lets the name of a branch or tag mean this commit.
  void set_reference(const std::string& revision) const;
  /// Bytes that are free where the cache is, or is to be.
  uint64_t free_bytes() const;

 private:
  std::filesystem::path cache_, folder_, locks_;
  std::string commit_;
};

}  // namespace vitrine::cli
