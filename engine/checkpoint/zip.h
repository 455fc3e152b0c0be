// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace vitrine::internal {

/// A file inside a zip archive, stored without compression: the archive's bytes [offset, offset +
/// size).
struct ZipEntry {
  size_t offset = 0;
  size_t size = 0;
};

/// The directory of a zip (or zip64) archive, every entry checked to lie inside `file`. `path` is
/// for errors. Throws Error (user) for a damaged archive and for entries that are compressed or
/// encrypted, which torch never writes.
std::map<std::string, ZipEntry> read_zip_directory(std::span<const std::byte> file,
                                                   const std::string& path);

}  // namespace vitrine::internal
