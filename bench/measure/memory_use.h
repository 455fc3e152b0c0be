// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine::bench {

/// The most memory that this process has held at once, in bytes, since forget_peak_memory(); where
/// the system does not let it be forgotten, since the process began.
uint64_t peak_memory();
void forget_peak_memory();

}  // namespace vitrine::bench
