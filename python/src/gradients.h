// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <utility>
#include <vector>

#include "vitrine/gradients.h"

namespace vitrine::python {
namespace nb = nanobind;

/// A target whose tokens may still be texts, because a target is made without a model.
struct TargetRequest {
  struct Term {
    Target::Term term;
    nb::object token = {};  ///< str or int; no object: the term has no token
  };
  std::vector<Term> terms;
};

/// Throws Error (user) for a text that is not one token of the model.
Target target_of(const Model& model, const TargetRequest& request);

}  // namespace vitrine::python
