// SPDX-License-Identifier: MIT
#pragma once

namespace vitrine::testing {

/// Whether this runs under a sanitizer, about ten times slower: big shapes are left out there.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace vitrine::testing
