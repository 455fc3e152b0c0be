// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vitrine::internal {

/// `text` fit for the middle of an error line: control characters and bytes outside ASCII as \xNN,
/// cut after `limit` characters. Names that come out of files pass through here before they are
/// shown.
std::string quote(std::string_view text, size_t limit = 80);

/// "1.50 GB", "312 B": decimal units, three figures.
std::string human_bytes(double bytes);

}  // namespace vitrine::internal
