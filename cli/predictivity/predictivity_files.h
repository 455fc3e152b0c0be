// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "base/number_table.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine::cli {
using namespace internal;

// Stimuli and responses in files; docs/PREDICTIVITY.md describes them.

struct StimulusTexts {
  std::vector<std::string> texts, groups;
};

/// .csv or .tsv with the columns text and group, separated by commas, semicolons or tabs; .jsonl,
/// an object with "text" and "group" a line; .json, a list of such objects. Without groups each
/// stimulus is a group of its own. Throws Error (user) naming the place.
StimulusTexts read_stimuli(const std::string& path);

/// .npy [N, Q], or .csv, .tsv or .txt with a column a neuroid (see NumberTable). `subjects` and
/// `ceiling` may be empty: a file of names, one a neuroid; a number, or a file of numbers. Throws
/// Error (user) naming the place, also for subjects or ceilings given twice.
Responses read_responses(const std::string& path, const std::string& subjects,
                         const std::string& ceiling, const NumberTableOptions& options = {});

/// "0.1,1,10". Throws Error (user) naming the invalid number; `what` names the list in errors.
std::vector<double> parse_numbers(const std::string& text, const std::string& what);

}  // namespace vitrine::cli
