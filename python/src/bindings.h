// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include "vitrine/model.h"

namespace vitrine::python {

// Each adds its classes and functions to the module.
void bind_errors();
void bind_tokenizer(nanobind::module_& module);
void bind_hooks(nanobind::module_& module);
void bind_runs(nanobind::module_& module);
nanobind::class_<Model> bind_model(nanobind::module_& module);
// With methods of the model.
void bind_session(nanobind::module_& module, nanobind::class_<Model>& model);
void bind_generation(nanobind::module_& module, nanobind::class_<Model>& model);
void bind_gradients(nanobind::module_& module, nanobind::class_<Model>& model);
void bind_results(nanobind::module_& module);
void bind_text_analyses(nanobind::module_& module);
void bind_attention_analyses(nanobind::module_& module);
void bind_causal_analyses(nanobind::module_& module);
void bind_data_analyses(nanobind::module_& module);
void bind_files(nanobind::module_& module);
void bind_corpus(nanobind::module_& module);

}  // namespace vitrine::python
