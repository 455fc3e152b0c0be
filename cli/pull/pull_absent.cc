// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "cli/pull/pull.h"

namespace vitrine::cli {
using namespace internal;

PullResult pull(const PullOptions&, Progress&) {
  user_error("this build downloads nothing: configure it with -DVITRINE_PULL=ON");
}

}  // namespace vitrine::cli
