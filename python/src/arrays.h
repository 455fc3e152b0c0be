// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <string>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/tensor.h"

namespace vitrine::python {
namespace nb = nanobind;

/// An array of NumPy's, read-only, that shares the values' memory and keeps `owner` alive.
using Array = nb::object;

Array array_of(TensorView view, std::shared_ptr<const void> owner);
/// The same of a tensor, or of values that it takes over.
Array array_of(const Tensor& tensor);
template <typename T>
Array array_of(std::vector<T> values, std::initializer_list<int64_t> shape);

/// An object with __dlpack__ for other libraries.
nb::ndarray<nb::array_api> shared_array_of(TensorView view, std::shared_ptr<const void> owner);

/// Captured activations of one sequence: a mapping from site names to arrays.
class SequenceCaptures {
 public:
  SequenceCaptures(std::shared_ptr<const Captures> captures, int sequence)
      : captures_(std::move(captures)), sequence_(sequence) {}

  const std::shared_ptr<const Captures>& all() const { return captures_; }
  int sequence() const { return sequence_; }
  /// Throws Error (user) for a site that was not captured, and for bfloat16, which NumPy lacks.
  Array operator[](const std::string& site) const;

 private:
  std::shared_ptr<const Captures> captures_;
  int sequence_;
};

}  // namespace vitrine::python
