// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "python/src/parameters.h"
#include "python/src/results.h"

namespace vitrine::python {

/// Values of an analysis of one prompt.
template <typename Options>
struct OfPrompt : Options {
  std::vector<int32_t> ids;
};

/// Parameters that begin with the model.
template <typename Values>
Parameters<Values> model_parameters() {
  Parameters<Values> parameters;
  parameters.add({"model", "Model", ""}, [](Call& call, Values&, const nb::object& given) {
    const Model* model = nullptr;
    if (!nb::try_cast(given, model) || !model) refuse_type("model", "Model", given);
    call.set_model(*model);
  });
  return parameters;
}

/// Adds a function that returns what body(call, values) returns.
template <typename Values, typename Body>
void bind_function(nb::module_& module, const char* name, Parameters<Values> parameters,
                   const char* result, const char* doc, Body body) {
  const std::string signature = parameters.signature().text(name, result);
  module.def(name, reading(name, std::move(parameters), body), nb::sig(signature.c_str()), doc);
}

/// Adds a function that returns a Result: what body(call, values) describes, which runs without the
/// GIL.
template <typename Values, typename Body>
void bind_analysis(nb::module_& module, const char* name, Parameters<Values> parameters,
                   const char* doc, Body body) {
  bind_function(module, name, std::move(parameters), "Result", doc, [body](Call& call, Values& v) {
    const nb::gil_scoped_release release;
    return described_result(body(call, v), call.model());
  });
}

}  // namespace vitrine::python
