// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include "vitrine/model.h"

namespace vitrine::python {
namespace nb = nanobind;

/// Raises KeyboardInterrupt if Ctrl-C was pressed. Called before each layer and with each report of
/// progress; it takes the GIL ten times a second at most.
void check_interrupt();

/// Progress for a Python caller: `report` is None, or called as report(done, total, label). Both
/// ways Ctrl-C ends what reports.
class PythonProgress : public Progress {
 public:
  explicit PythonProgress(const nb::object& report);
  void update(uint64_t done, uint64_t total, std::string_view label) override;

 private:
  std::shared_ptr<nb::object> report_;
};

LogitRows logit_rows_of(const std::string& name);

}  // namespace vitrine::python
