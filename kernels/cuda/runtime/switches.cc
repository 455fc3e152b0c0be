// SPDX-License-Identifier: MIT
#include "kernels/cuda/runtime/switches.h"

#include <cstdlib>
#include <string_view>

#include "base/check.h"

namespace vitrine::internal::cuda {
namespace {

bool is_on(const char* name) {
  const char* value = std::getenv(name);
  const std::string_view text = value != nullptr ? value : "";
  if (text.empty() || text == "1") return true;
  if (text != "0") user_error("invalid {} '{}': expected 0 (off) or 1 (on)", name, text);
  return false;
}

}  // namespace

const Switches& switches() {
  static const Switches found{.early_starts = is_on("VITRINE_PDL"),
                              .graphs = is_on("VITRINE_GRAPHS"),
                              .hopper = is_on("VITRINE_HOPPER"),
                              .fused = is_on("VITRINE_FUSED")};
  return found;
}

}  // namespace vitrine::internal::cuda
