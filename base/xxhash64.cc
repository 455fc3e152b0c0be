// SPDX-License-Identifier: MIT
#include "base/xxhash64.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/mapped_file.h"

namespace vitrine::internal {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu,
                   kPrime3 = 0x165667B19E3779F9u, kPrime4 = 0x85EBCA77C2B2AE63u,
                   kPrime5 = 0x27D4EB2F165667C5u;
constexpr size_t kStripe = 32;

static_assert(std::endian::native == std::endian::little,
              "the words of a stripe are little-endian");

template <typename T>
uint64_t word(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t round(uint64_t lane, uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

void consume(std::array<uint64_t, 4>& lanes, const std::byte* stripe) {
  for (size_t i = 0; i < lanes.size(); ++i)
    lanes[i] = round(lanes[i], word<uint64_t>(stripe + 8 * i));
}

uint64_t join(const std::array<uint64_t, 4>& lanes) {
  uint64_t h = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
               std::rotl(lanes[3], 18);
  for (const uint64_t lane : lanes) h = (h ^ round(0, lane)) * kPrime1 + kPrime4;
  return h;
}

}  // namespace

Xxh64::Xxh64(uint64_t seed)
    : lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1}, seed_(seed) {}

void Xxh64::update(std::span<const std::byte> bytes) {
  const size_t held = length_ % kStripe;
  length_ += bytes.size();
  if (held > 0) {
    const size_t taken = std::min(kStripe - held, bytes.size());
    std::copy_n(bytes.data(), taken, held_.data() + held);
    bytes = bytes.subspan(taken);
    if (held + taken < kStripe) return;
    consume(lanes_, held_.data());
  }
  for (; bytes.size() >= kStripe; bytes = bytes.subspan(kStripe)) consume(lanes_, bytes.data());
  std::copy(bytes.begin(), bytes.end(), held_.begin());
}

uint64_t Xxh64::digest() const {
  uint64_t h = (length_ >= kStripe ? join(lanes_) : seed_ + kPrime5) + length_;
  const std::byte* at = held_.data();
  const std::byte* end = at + length_ % kStripe;
  for (; end - at >= 8; at += 8)
    h = std::rotl(h ^ round(0, word<uint64_t>(at)), 27) * kPrime1 + kPrime4;
  for (; end - at >= 4; at += 4)
    h = std::rotl(h ^ (word<uint32_t>(at) * kPrime1), 23) * kPrime2 + kPrime3;
  for (; at != end; ++at) h = std::rotl(h ^ (word<uint8_t>(at) * kPrime5), 11) * kPrime1;
  h = (h ^ (h >> 33)) * kPrime2;
  h = (h ^ (h >> 29)) * kPrime3;
  return h ^ (h >> 32);
}

uint64_t xxh64(std::string_view text, uint64_t seed) {
  Xxh64 hash(seed);
  hash.update(text);
  return hash.digest();
}

uint64_t xxh64_of_file(const std::filesystem::path& path) {
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
  }
  return hash.digest();
}

std::string hex64(uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace vitrine::internal
