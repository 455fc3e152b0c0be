// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

namespace vitrine::python {
namespace nb = nanobind;

/// Keyword arguments that several functions share. Each is taken once; finish() refuses the rest.
class Keywords {
 public:
  explicit Keywords(const nb::kwargs& arguments) : arguments_(nb::dict(arguments)) {}

  /// Whether it was given, and is not None.
  bool has(const char* name) const {
    return arguments_.contains(name) && !nb::object(arguments_[name]).is_none();
  }
  /// `value` keeps what it is if the argument was not given. Throws TypeError for another type.
  template <typename T>
  void read(const char* name, T& value) const {
    if (has(name) && !nb::try_cast(nb::object(arguments_[name]), value))
      throw nb::type_error((std::string("invalid ") + name + ": " +
                            nb::cast<std::string>(nb::repr(arguments_[name])))
                               .c_str());
  }
  /// The same, once.
  template <typename T>
  void take(const char* name, T& value) {
    read(name, value);
    forget(name);
  }
  nb::object take(const char* name, nb::object otherwise = nb::none()) {
    if (arguments_.contains(name)) otherwise = arguments_[name];
    forget(name);
    return otherwise;
  }
  /// Throws TypeError for an argument that was not taken.
  void finish() const {
    for (const auto& [name, value] : arguments_)
      throw nb::type_error(
          ("unexpected keyword argument '" + nb::cast<std::string>(nb::str(name)) + "'").c_str());
  }

 private:
  void forget(const char* name) {
    if (arguments_.contains(name)) nb::del(arguments_[name]);
  }
  nb::dict arguments_;
};

}  // namespace vitrine::python
