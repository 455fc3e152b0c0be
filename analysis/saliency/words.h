// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "vitrine/analysis/saliency.h"

namespace vitrine::internal {

/// A value as a sentence has it.
inline std::string_view value_in_words(SaliencyValue value) {
  switch (value) {
    case SaliencyValue::kLogit:
      return "logit";
    case SaliencyValue::kLogProb:
      return "log-probability";
    case SaliencyValue::kProb:
      break;
  }
  return "probability";
}

}  // namespace vitrine::internal
