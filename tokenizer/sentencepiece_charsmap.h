// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace vitrine::internal {

/// Throws Error (user) naming `file` unless the SentencePiece library stays inside `table`, a
/// precompiled_charsmap, whatever text it normalises. The library itself trusts the table.
void check_charsmap(std::string_view table, const std::string& file);

}  // namespace vitrine::internal
