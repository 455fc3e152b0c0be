// SPDX-License-Identifier: MIT
#include "base/xxhash64.h"

#include <fmt/core.h>

#define XXH_INLINE_ALL  // no library to link
#include <xxhash.h>

#include <algorithm>
#include <random>

#include "base/mapped_file.h"

namespace vitrine::internal {

struct Xxh64::State {
  XXH64_state_t state;
};

Xxh64::Xxh64(uint64_t seed) : state_(std::make_unique<State>()) {
  XXH64_reset(&state_->state, seed);
}
Xxh64::~Xxh64() = default;

void Xxh64::update(std::span<const std::byte> bytes) {
  XXH64_update(&state_->state, bytes.data(), bytes.size());
}

uint64_t Xxh64::digest() const { return XXH64_digest(&state_->state); }

uint64_t xxh64(std::string_view text, uint64_t seed) {
  return XXH64(text.data(), text.size(), seed);
}

uint64_t SecretHash::secret() {
  static const uint64_t secret = [] {
    std::random_device random;
    return uint64_t{random()} << 32 | random();
  }();
  return secret;
}

uint64_t xxh64_of_file(const std::filesystem::path& path,
                       const std::function<void(size_t)>& on_bytes) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path, ignored) &&
      std::filesystem::file_size(path, ignored) == 0)
    return xxh64("");
  const MappedFile file(path);
  file.advise_sequential();
  Xxh64 hash;
  // A piece at a time, each given back when it is read: a file of many gigabytes leaves no trace in
  // this process's memory.
  constexpr size_t kPiece = size_t{16} << 20;
  for (size_t at = 0; at < file.size(); at += kPiece) {
    const size_t count = std::min(kPiece, file.size() - at);
    hash.update(file.bytes().subspan(at, count));
    file.release(at, count);
    if (on_bytes) on_bytes(count);
  }
  return hash.digest();
}

std::string hex64(uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace vitrine::internal
