// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

namespace vitrine::python {
namespace nb = nanobind;

/// Copies of what cannot change are the object itself. pickle is refused with `advice`, unless the
/// class has a state of its own.
template <typename Class>
Class& immutable(Class& bound, const char* advice = nullptr) {
  bound.def("__copy__", [](nb::handle self) { return nb::borrow(self); })
      .def(
          "__deepcopy__", [](nb::handle self, nb::handle) { return nb::borrow(self); },
          nb::arg("memo"));
  if (advice) {
    bound.def(
        "__reduce__",
        [advice](nb::handle self) -> nb::object {
          throw nb::type_error((nb::cast<std::string>(self.type().attr("__name__")) +
                                " cannot be pickled: " + advice)
                                   .c_str());
        },
        nb::sig("def __reduce__(self) -> typing.Any"));
  }
  return bound;
}

}  // namespace vitrine::python
