// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include <memory>

namespace vitrine::python {
namespace nb = nanobind;

/// A Python object that C++ may copy and destroy on any thread, with or without the GIL.
inline std::shared_ptr<nb::object> share(nb::object object) {
  return {new nb::object(std::move(object)), [](nb::object* held) {
            const nb::gil_scoped_acquire gil;
            delete held;
          }};
}

}  // namespace vitrine::python
