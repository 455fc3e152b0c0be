// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/workloads/workloads.h"

namespace vitrine::bench {
using namespace internal;

/// One of several things that are measured in turns, so that a slow minute of the machine falls on
/// all of them alike.
struct Turn {
  Row row;           ///< with `against`: compared, in each turn, with the one that has none
  std::string step;  ///< as it is announced
  /// Of one measurement; may note more in the row. Empty: nothing is measured, because it does not
  /// fit.
  std::function<double(Row&)> seconds;
  double share = 1;  ///< the ratio is that of the seconds divided by this
};

/// Adds a measurement of `seconds()` to the row, and one beside the busy processes if there are
/// any: the mean over half a second, hence over many time slices of the scheduler. Returns the
/// quiet one.
double measure_once(const Bench& bench, Row& row, const std::function<double()>& seconds);

/// Fills the rows, `bench.options.repeat` times each.
void measure_in_turns(const Bench& bench, std::vector<Turn>& turns);

/// Measures `work` alone, `bench.options.repeat` times, announced as `step`; hands over the row.
void measure_alone(const Bench& bench, Row row, const std::string& step,
                   const std::function<void()>& work);

}  // namespace vitrine::bench
