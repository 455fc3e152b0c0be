// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "report/token_table.h"
#include "vitrine/analysis/path_patching.h"
#include "vitrine/report/page.h"

namespace vitrine::internal {

// How the results of patching lie on a picture: the same for pages and figures.

struct PatchLayout {
  std::string title, over;                 ///< the site; what columns are: "position"
  std::vector<std::string> rows, columns;  ///< labels, the first layer first
};

PatchLayout patch_layout(const PatchGrid& grid, const PatchSubject& subject,
                         const TokenTable& tokens);

/// Senders laid out as the model is: embeddings in a row of their own, then a row for each layer,
/// heads and the MLP beside each other.
struct PathLayout {
  PatchLayout axes;
  std::vector<double> values, effects;  ///< [rows, columns]; NaN for missing senders
};
PathLayout path_layout(const PathPatching& found);

/// "logit of ␣London less that of ␣Paris"
std::string metric_in_words(const PatchMetric& metric, const TokenTable& tokens);

}  // namespace vitrine::internal
