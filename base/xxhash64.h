// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/random.h"

namespace vitrine::internal {

/// XXH64 of Yann Collet's xxHash: a 64-bit checksum at about the speed of memory. Detects
/// corruption by disks and networks, not deliberate manipulation.
class Xxh64 {
 public:
  explicit Xxh64(uint64_t seed = 0);
  ~Xxh64();
  Xxh64(const Xxh64&) = delete;
  Xxh64& operator=(const Xxh64&) = delete;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  /// Of all bytes so far.
  uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

uint64_t xxh64(std::string_view text, uint64_t seed = 0);

/// For hash tables of what files say. It differs from process to process, so that no file can be
/// made whose keys all meet in one place and take quadratic time.
struct SecretHash {
  using is_transparent = void;  // a view is looked up without a string made of it
  size_t operator()(std::string_view text) const { return xxh64(text, secret()); }
  size_t operator()(uint64_t number) const { return mix64(number ^ secret()); }

 private:
  static uint64_t secret();
};

/// Of a whole file; an empty one too. `on_bytes` is called with the bytes of each piece that was
/// read; it may throw. Throws Error (user) for a file that cannot be read.
uint64_t xxh64_of_file(const std::filesystem::path& path,
                       const std::function<void(size_t)>& on_bytes = {});
/// "0123456789abcdef", as every tool of xxHash writes it.
std::string hex64(uint64_t value);

}  // namespace vitrine::internal
