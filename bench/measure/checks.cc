// SPDX-License-Identifier: MIT
#include "bench/measure/checks.h"

#include "base/check.h"

namespace vitrine::bench {
using namespace internal;

std::vector<int32_t> some_tokens(const Config& config, int64_t count, int64_t offset) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>((static_cast<int64_t>(i) + offset) * 7919 % config.vocab);
  }
  return ids;
}

void require(bool holds, const char* what) {
  if (!holds) internal_error("a check failed, so all measurements are invalid: {}", what);
}

}  // namespace vitrine::bench
