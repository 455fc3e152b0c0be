// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine::cli {

/// How `vitrine` and `vitrine-bench` end.
enum class ExitStatus : uint8_t { kDone = 0, kFailed = 1, kBadInput = 2, kIncomplete = 3 };

struct ExitStatusInfo {
  const char* status;
  const char* text;
};
/// The table of the manual page, which docs/CLI.md repeats.
inline constexpr ExitStatusInfo kExitStatuses[] = {
    {"0", "Done."},
    {"1",
     "A failure of the machine or of the program: no memory, a full disk, a failed read or write, "
     "a server or network that fails (pull), a device that runs no model (doctor), a defect."},
    {"2",
     "Invalid input: an unknown option, an option without effect, an invalid value, a missing or "
     "damaged file."},
    {"3", "The corpus that corpus --verify checked is intact but incomplete."},
    {"130",
     "Interrupted: Ctrl-C ends the program by its signal, which a shell reports as 128 plus the "
     "signal's number (143 for SIGTERM, 141 for a closed pipe)."}};

}  // namespace vitrine::cli
