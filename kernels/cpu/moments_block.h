// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend/statistics.h"

namespace vitrine::internal::cpu {

constexpr int64_t kMomentPanel = 8;  // columns
constexpr int64_t kMomentGroup = 4;  // of them, that are held against a panel at once

/// A block of rows, centred: [panels][rows][kMomentPanel], zeros after the last column.
struct CentredBlock {
  const MomentsArgs& args;
  double* panels;
  double* delta;  ///< [panels * kMomentPanel] the block's mean less that of all before

  double* panel(int64_t p) const { return panels + p * args.rows * kMomentPanel; }
  double between() const {
    return args.weight *
           (static_cast<double>(args.rows) / (args.weight + static_cast<double>(args.rows)));
  }
};

}  // namespace vitrine::internal::cpu
