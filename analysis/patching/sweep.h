// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "analysis/patching/base_run.h"
#include "vitrine/analysis/patching.h"

namespace vitrine::internal {

/// Reports progress in cells.
struct CellProgress {
  Progress* to;
  uint64_t total;
  std::string_view label;
  uint64_t done = 0;

  void add(uint64_t cells) {
    done += cells;
    if (to) to->update(done, total, label);
  }
};

/// The cells of a request, resolved against a model and a base run of some length.
class PatchSweep {
 public:
  /// Throws Error (user) for what is not there.
  PatchSweep(const PatchCells& cells, const Config& config, int64_t tokens);

  /// Axes, without results.
  const std::vector<PatchGrid>& grids() const { return grids_; }
  uint64_t cells() const;
  /// What one cell replaces.
  std::vector<Place> places(const PatchGrid& grid, size_t row, size_t column) const;

  /// The metric of every cell of every grid, [grids][R, C].
  std::vector<std::vector<double>> run(BaseRun& base, const PatchValues& values,
                                       CellProgress& progress) const;
  /// First-order estimates of its changes.
  std::vector<std::vector<double>> estimate(const BaseRun& base, const PatchValues& values,
                                            const Captures& gradients) const;

 private:
  Config config_;
  int window_;
  std::vector<int64_t> positions_;
  std::vector<PatchGrid> grids_;
};

}  // namespace vitrine::internal
