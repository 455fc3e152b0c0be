// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "cli/pull/store.h"

namespace vitrine::cli {

/// Brings a file's blob into the cache, unless it is there; goes on where an earlier download
/// ended, and waits for another process that brings the same. The blob appears with its name only
/// once its size and checksum are right.
///
/// `arrived` counts the file's bytes as they come, those of an earlier download included.
/// Throws Error (internal) for what the server or the disk does, Interrupted when stopped.
void download(HttpClient& client, const Hub& hub, const HubStore& store, const std::string& commit,
              const HubFile& file, std::atomic<uint64_t>& arrived);

}  // namespace vitrine::cli
