// SPDX-License-Identifier: MIT
#include "cli/core/lost_file.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cinttypes>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/unfinished.h"
#include "cli/core/exit_status.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// The file that is mapped at `address`; empty if none is.
std::string file_mapped_at(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) != 2) continue;
    if (wanted < begin || wanted >= end) continue;
    const size_t path = line.find('/');
    return path == std::string::npos ? std::string() : line.substr(path);
  }
  return {};
}

}  // namespace

void end_lost_file(const void* address) {
  Unfinished::remove_all();
  const std::string file = file_mapped_at(address);
  if (file.empty()) {
    std::signal(SIGBUS, SIG_DFL);
    kill(getpid(), SIGBUS);
    for (;;) pause();
  }
  const std::string line = fmt::format(
      "vitrine: {}: its bytes are gone while they are read: another program made it shorter, or "
      "its "
      "disk failed; start again with the whole file\n",
      file);
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  _exit(static_cast<int>(ExitStatus::kFailed));
}

}  // namespace vitrine::cli
