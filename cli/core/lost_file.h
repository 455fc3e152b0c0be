// SPDX-License-Identifier: MIT
#pragma once

namespace vitrine::cli {

/// Ends the program after a read at `address` raised SIGBUS. An address in a mapped file: prints
/// which file lost its bytes, removes unfinished files, and ends with status 1. Any other address:
/// ends by the signal. Not for a signal handler.
[[noreturn]] void end_lost_file(const void* address);

}  // namespace vitrine::cli
