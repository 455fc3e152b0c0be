// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace vitrine::internal {

/// SHA-256 (FIPS 180-4) as 64 hexadecimal digits. For the short texts that other programs' files
/// are identified by; for data of ours see xxhash64.h.
std::string sha256_hex(std::string_view text);

}  // namespace vitrine::internal
