// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/json_value.h"
#include "cli/core/ranks.h"
#include "cli/core/terminal.h"
#include "vitrine/corpus/corpus_estimate.h"

namespace vitrine::cli {
using namespace internal;

JsonValue estimate_json(const CorpusEstimate& estimate, const Rank& rank, const std::string& path);
/// What a capture writes by site, its size and time, and a line for each reason against it.
std::string estimate_text(const Terminal& out, const CorpusEstimate& estimate, const Rank& rank,
                          const std::string& path, bool skip_bad);

}  // namespace vitrine::cli
