// SPDX-License-Identifier: MIT
#include "cli/pull/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr size_t kSha1Digits = 40, kSha256Digits = 64;

void require(int done) {
  if (done != 1) internal_error("libcrypto cannot compute a checksum");
}

}  // namespace

bool is_checksum(std::string_view etag) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return (etag.size() == kSha1Digits || etag.size() == kSha256Digits) &&
         std::all_of(etag.begin(), etag.end(), is_digit);
}

FileDigest::FileDigest(std::string_view etag, uint64_t size)
    : context_(crypto_library().context_new(), crypto_library().context_free) {
  const CryptoLibrary& crypto = crypto_library();
  const bool git = etag.size() == kSha1Digits;
  if (!context_) internal_error("libcrypto cannot compute a checksum");
  require(crypto.init(context_.get(), git ? crypto.sha1() : crypto.sha256(), nullptr));
  if (!git) return;
  const std::string header = fmt::format("blob {}", size);  // with the zero at its end
  add(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
}

void FileDigest::add(std::span<const std::byte> bytes) {
  require(crypto_library().update(context_.get(), bytes.data(), bytes.size()));
}

std::string FileDigest::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  require(crypto_library().final(context_.get(), digest.data(), &size));
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace vitrine::cli
