// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>

namespace vitrine::internal {

/// Memory of 2 MB pages begins at such a boundary.
inline constexpr size_t kLargePage = size_t{2} << 20;

/// At least `bytes` of zeros, from a 2 MB boundary on, in 2 MB pages if the system has them to
/// give, else in its usual ones. Nothing is taken from the system before it is touched. Null if the
/// system refuses.
std::shared_ptr<std::byte> map_large_pages(size_t bytes);

/// Asks for 2 MB pages where they fit into memory that is there but was not touched yet, such as a
/// vector's reserve. May be refused.
void prefer_large_pages(void* data, size_t bytes);

}  // namespace vitrine::internal
