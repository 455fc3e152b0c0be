// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include <utility>

namespace vitrine::python {
namespace nb = nanobind;

/// Slots of a class whose instances hold Python objects: with them Python's collector finds cycles
/// through an instance, and breaks them. `Each` is a lambda without captures; it is called as
/// each(instance, take), and calls take(nb::object&) once for each reference that the instance
/// owns, an empty one too.
///
/// The collector runs with the GIL, and clears only what nothing else can reach; the caller of a
/// pass holds what the pass uses.
template <typename T, typename Each>
nb::type_slots collected(Each) {
  static const auto traverse = [](PyObject* self, visitproc visit, void* arg) -> int {
    Py_VISIT(Py_TYPE(self));
    if (!nb::inst_ready(self)) return 0;  // before the constructor
    int stopped = 0;
    Each{}(*nb::inst_ptr<T>(self), [&](nb::object& held) {
      if (stopped == 0 && held.is_valid()) stopped = visit(held.ptr(), arg);
    });
    return stopped;
  };
  static const auto clear = [](PyObject* self) -> int {
    // None, not nothing: a finalizer may still call what holds it.
    Each{}(*nb::inst_ptr<T>(self), [](nb::object& held) { held = nb::none(); });
    return 0;
  };
  static const PyType_Slot slots[] = {
      {Py_tp_traverse, reinterpret_cast<void*>(static_cast<traverseproc>(traverse))},
      {Py_tp_clear, reinterpret_cast<void*>(static_cast<inquiry>(clear))},
      {0, nullptr}};
  return {slots};
}

}  // namespace vitrine::python
