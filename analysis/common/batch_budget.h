// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine::internal {

/// Counts what goes through a model together: as many items as have at most `limit` tokens, one at
/// least.
class BatchBudget {
 public:
  explicit BatchBudget(int64_t limit) : limit_(limit) {}

  /// Counts the next item if it still fits.
  bool takes(int64_t tokens) {
    if (items_ > 0 && tokens_ + tokens > limit_) return false;
    ++items_;
    tokens_ += tokens;
    return true;
  }

 private:
  int64_t limit_, items_ = 0, tokens_ = 0;
};

}  // namespace vitrine::internal
