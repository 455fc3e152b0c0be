// SPDX-License-Identifier: MIT
#include "kernels/cuda/linear/hopper_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/ceil_div.h"

namespace vitrine::internal::cuda {
namespace {

// Of 64 inputs of a tile, with 16-bit elements: what a row of an operand has, and how many of its
// columns' products an SM does in a cycle.
constexpr double kRowBytes = 128, kColumnCycles = 4;
// Bytes a cycle: what an SM takes in at most; what L2 gives to each if all read.
constexpr double kIntoProcessor = 64, kFromCache = 39;

/// Cycles for 64 inputs of everything, and bytes from L2.
std::pair<double, double> cost(const HopperForm& form, int64_t rows, int64_t out, int processors) {
  const int blocks = form.high * form.wide;
  const int64_t clusters = form.down(rows) * form.across(out);
  const double products = kColumnCycles * form.columns,
               copies = kRowBytes * (kHopperRows + form.columns) / kIntoProcessor;
  const auto waves = static_cast<double>(ceil_div(clusters, processors / blocks));
  const double bytes = kRowBytes * static_cast<double>(clusters * blocks) *
                       (kHopperRows / form.wide + form.columns / form.high);
  return {std::max(waves * std::max(products, copies), bytes / kFromCache / processors), bytes};
}

template <int... kColumns>
HopperForm best(std::integer_sequence<int, kColumns...>, int64_t rows, int64_t out,
                int processors) {
  HopperForm found;
  std::pair<double, double> least{std::numeric_limits<double>::infinity(), 0};
  const auto consider = [&](const HopperForm& form) {
    if (form.high * form.wide > processors) return;
    const auto its = cost(form, rows, out, processors);
    if (its >= least) return;
    least = its;
    found = form;
  };
  for (const int columns : {kColumns...}) {
    for (const auto& [high, wide] : {std::pair{1, 1}, {2, 1}, {1, 2}})
      consider({columns, high, wide});
  }
  return found;
}

}  // namespace

int64_t HopperForm::down(int64_t rows) const { return ceil_div(rows, high * kHopperRows); }
int64_t HopperForm::across(int64_t out) const { return ceil_div(out, wide * columns); }
std::string HopperForm::name() const {
  const char* shared = high > 1 ? ", weights shared by 2" : wide > 1 ? ", rows shared by 2" : "";
  return fmt::format("hopper {}x{}{}", kHopperRows, columns, shared);
}

HopperForm hopper_form(int64_t rows, int64_t out, int processors) {
  return best(HopperWidths{}, rows, out, processors);
}

}  // namespace vitrine::internal::cuda
