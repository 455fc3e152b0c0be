// SPDX-License-Identifier: MIT
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdlib>

#include "python/src/bindings.h"
#include "vitrine/error.h"
#include "vitrine/report/figure.h"
#include "vitrine/sites.h"
#include "vitrine/tokenizer.h"
#include "vitrine/version.h"

// The extension module: one bind_ function a file. What needs no C++ is Python, in python/vitrine.

namespace vitrine::python {
namespace nb = nanobind;
namespace {

PyObject* error_type = nullptr;  // lives as long as the process

/// vitrine::Error as vitrine.Error, with its kind.
void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    const nb::object raised = nb::handle(error_type)(error.what());
    raised.attr("kind") = error.kind() == Error::Kind::kUser ? "user" : "internal";
    PyErr_SetObject(error_type, raised.ptr());
  }
}

void bind_library(nb::module_& module) {
  module.attr("VERSION") = VITRINE_VERSION;
  module.def("can_draw_figures", &can_draw_figures,
             "Whether this build draws figures (Result.figure).");
  module.def(
      "sites",
      [] {
        nb::list all;
        for (const SiteInfo& info : kSites) {
          nb::dict site;
          site["name"] = (info.per_layer ? "blocks.{layer}." : "") + std::string(info.name);
          site["per_layer"] = info.per_layer;
          site["shape"] = std::string(site_shape_text(info.shape));
          site["note"] = std::string(info.note);
          all.append(site);
        }
        return all;
      },
      nb::sig("def sites() -> list[dict[str, typing.Any]]"),
      "All sites, in the order of the pass: name, per_layer, shape for T tokens, note.");
}

}  // namespace

void bind_errors() {
  error_type = nb::object(nb::module_::import_("vitrine.error").attr("Error")).inc_ref().ptr();
  nb::register_exception_translator(&translate);
}

}  // namespace vitrine::python

NB_MODULE(_vitrine, module) {
  using namespace vitrine::python;
  // What is alive when Python ends is reported to those who look for leaks, not to users, whose
  // programs may end with cycles.
  nanobind::set_leak_warnings(std::getenv("VITRINE_LEAKS") != nullptr);
  bind_errors();
  bind_library(module);
  bind_tokenizer(module);
  bind_hooks(module);
  bind_runs(module);
  nanobind::class_<vitrine::Model> model = bind_model(module);
  bind_session(module, model);
  bind_generation(module, model);
  bind_gradients(module, model);
  bind_results(module);
  bind_text_analyses(module);
  bind_attention_analyses(module);
  bind_causal_analyses(module);
  bind_data_analyses(module);
  bind_files(module);
  bind_corpus(module);
}
