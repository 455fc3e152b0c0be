// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <optional>
#include <string>

#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine::python {
namespace nb = nanobind;

/// A site to capture, with the part of it and the type.
struct CaptureRequest {
  std::string sites;
  Where where;
  DType store = DType::kF32;
};

/// A change of a site. A Python function becomes an edit when the model, and with it the shape of
/// the site, is known.
struct EditRequest {
  std::string sites;
  Where where;
  std::optional<Edit> edit;
  nb::object function = {}, adjoint = {};
  bool straight_through = false;
};

/// What run(), generate() and the analyses take. Each may be one item or a sequence of them; a str
/// among captures is a site with everything.
struct HookArgs {
  nb::object capture = {}, edits = {}, gradients = {};
};

/// Throws Error (user) as Hooks does, TypeError for what is neither.
Hooks hooks_of(const Model& model, const HookArgs& args);
Hooks edits_of(const Model& model, const nb::object& edits);
/// The same by the model's sizes, which functions are told the shapes by.
Hooks hooks_of(const Config& config, const HookArgs& args);
Hooks edits_of(const Config& config, const nb::object& edits);
/// hooks_of(), compiled for the model.
HookPlan compiled(const Model& model, const HookArgs& args);
/// The Python functions of edits made by these.
void for_each_function(const Hooks& hooks, const std::function<void(nb::object&)>& take);

}  // namespace vitrine::python
