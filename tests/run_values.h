// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "vitrine/indices.h"
#include "vitrine/run.h"
#include "vitrine/tensor.h"

// Copies of what a run shows, which outlive it, and indices written out.

namespace vitrine::testing_support {

inline Tensor copy_of(const TensorView& view) {
  Tensor copy(view.dtype(), view.shape());
  std::ranges::copy(view.host_bytes(), static_cast<std::byte*>(copy.data()));
  return copy;
}

inline Tensor logits_of(const Run& run, int sequence = 0) { return copy_of(run.logits(sequence)); }

/// Of ranges that do not depend on the axis.
template <typename T>
std::vector<T> listed(const Indices<T>& indices) {
  std::vector<T> list;
  for (const auto& range : indices.ranges()) {
    for (T index = range.first; index <= range.last; ++index) list.push_back(index);
  }
  return list;
}

inline Tensor site_of(const Run& run, std::string_view site) { return copy_of(run[site]); }

}  // namespace vitrine::testing_support
