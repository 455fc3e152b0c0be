// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace vitrine::internal {

/// XXH64 of Yann Collet's xxHash (its specification, version 0.2.0): a 64-bit checksum about as
/// fast as memory is read. Finds what disks and networks do to files; it is no defence against
/// somebody who means harm.
class Xxh64 {
 public:
  explicit Xxh64(uint64_t seed = 0);
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  /// Of all bytes so far.
  uint64_t digest() const;

 private:
  std::array<uint64_t, 4> lanes_;
  std::array<std::byte, 32> held_{};  // bytes that do not fill a stripe yet
  uint64_t seed_, length_ = 0;
};

uint64_t xxh64(std::string_view text, uint64_t seed = 0);
/// Of a whole file; an empty one too. Throws Error (user) for a file that cannot be read.
uint64_t xxh64_of_file(const std::filesystem::path& path);
/// "0123456789abcdef", as every tool of xxHash writes it.
std::string hex64(uint64_t value);

}  // namespace vitrine::internal
