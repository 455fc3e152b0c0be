// SPDX-License-Identifier: MIT
#pragma once

namespace vitrine::testing {

/// Whether this runs under a sanitizer, about ten times slower: big shapes are left out there.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// Whether a child made by fork() may allocate while other threads of the parent did: the address
/// sanitizer's allocator then may stay locked in the child.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kForkAmongThreads = false;
#else
inline constexpr bool kForkAmongThreads = true;
#endif

}  // namespace vitrine::testing
