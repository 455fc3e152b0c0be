// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/tensor.h"

namespace vitrine::python {
namespace nb = nanobind;

/// An array of NumPy's, read-only, that shares the values' memory and keeps `owner` alive.
using Array = nb::object;

/// Throws Error (user) for values that stayed on a GPU.
Array array_of(TensorView view, std::shared_ptr<const void> owner);
/// The same of a tensor, or of values that it takes over.
Array array_of(const Tensor& tensor);
template <typename T>
Array array_of(std::vector<T> values, std::initializer_list<int64_t> shape);

/// An object with __dlpack__ for other libraries. `gpu`: the one where the values are, if they are
/// on one. They are complete there, so that every stream may read them; the owner goes when all
/// work of that GPU has been done.
nb::ndarray<nb::array_api> shared_array_of(TensorView view, std::shared_ptr<const void> owner,
                                           std::optional<int> gpu);

/// Captured activations of one sequence: a mapping from site names to arrays.
class SequenceCaptures {
 public:
  /// `gpu`: the model's, of captures that stayed there.
  SequenceCaptures(std::shared_ptr<const Captures> captures, int sequence,
                   std::optional<int> gpu = {})
      : captures_(std::move(captures)), sequence_(sequence), gpu_(gpu) {}

  const std::shared_ptr<const Captures>& all() const { return captures_; }
  int sequence() const { return sequence_; }
  /// Throws Error (user) for a site that was not captured, and for bfloat16, which NumPy lacks.
  Array operator[](const std::string& site) const;
  nb::ndarray<nb::array_api> dlpack(const std::string& site) const;

 private:
  std::shared_ptr<const Captures> captures_;
  int sequence_;
  std::optional<int> gpu_;
};

}  // namespace vitrine::python
