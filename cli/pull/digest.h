// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cli/pull/libraries.h"

namespace vitrine::cli {

/// The checksum that names a file's blob in the Hugging Face cache: SHA-256 of a file that Git LFS
/// keeps (64 hexadecimal digits), Git's own SHA-1 of any other (40).
class FileDigest {
 public:
  /// `etag`: the expected checksum, which says the kind. `size`: bytes of the whole file.
  FileDigest(std::string_view etag, uint64_t size);
  void add(std::span<const std::byte> bytes);
  /// Of what was added; to be called once.
  std::string hex();

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// Whether it has the form of such a checksum, and so is safe as a name.
bool is_checksum(std::string_view etag);

}  // namespace vitrine::cli
