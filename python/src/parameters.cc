// SPDX-License-Identifier: MIT
#include "python/src/parameters.h"

#include <algorithm>

#include "base/check.h"

namespace vitrine::python {
using namespace internal;

bool Call::has(std::string_view name) const {
  return std::find(given_.begin(), given_.end(), name) != given_.end();
}

Progress* Call::progress(const nb::object& report) {
  progress_ = std::make_unique<PythonProgress>(report);
  return progress_.get();
}

void refuse_unused(const Call& call, std::string_view name, std::string_view choice,
                   std::string_view chosen, std::initializer_list<std::string_view> users) {
  if (!call.has(name)) return;
  std::string known;
  for (const std::string_view user : users) {
    if (user == chosen) return;
    known += fmt::format("{}'{}'", known.empty() ? "" : " or ", user);
  }
  user_error("invalid {}= with {}='{}': only {} uses it", name, choice, chosen, known);
}

std::string Signature::text(const char* function, const char* result, const char* first) const {
  std::string all = first;
  const auto append = [&](const std::string& one) { all += (all.empty() ? "" : ", ") + one; };
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& parameter = parameters_[i];
    if (i == positional_) append("*");
    append(fmt::format("{}: {}", parameter.name, parameter.type));
    if (!parameter.otherwise.empty()) all += " = " + parameter.otherwise;
  }
  return fmt::format("def {}({}) -> {}", function, all, result);
}

std::vector<nb::object> Signature::match(const char* function, const nb::args& args,
                                         const nb::kwargs& kwargs) const {
  const auto refuse = [&](const std::string& what) {
    throw nb::type_error(fmt::format("{}() {}", function, what).c_str());
  };
  const size_t positional = std::min(positional_, parameters_.size());
  if (args.size() > positional)
    refuse(fmt::format("takes {} positional arguments, not {}", positional, args.size()));
  std::vector<nb::object> found(parameters_.size());
  size_t named = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const char* name = parameters_[i].name;
    if (i < args.size()) found[i] = args[i];
    if (kwargs.size() > named && kwargs.contains(name)) {
      if (found[i].is_valid()) refuse(fmt::format("got '{}' twice", name));
      found[i] = kwargs[name];
      ++named;
    }
    if (!found[i].is_valid() && parameters_[i].otherwise.empty())
      refuse(fmt::format("is missing the argument '{}'", name));
  }
  if (named == kwargs.size()) return found;
  for (const auto& [key, value] : kwargs) {
    const auto name = nb::cast<std::string>(key);
    const auto is_it = [&](const Parameter& parameter) { return name == parameter.name; };
    if (std::none_of(parameters_.begin(), parameters_.end(), is_it))
      refuse(fmt::format("got an unexpected keyword argument '{}'", name));
  }
  return found;
}

std::string represented(const nb::object& value) { return shown(nb::repr(value)); }

void refuse_type(const char* name, const std::string& expected, nb::handle value) {
  throw nb::type_error(
      fmt::format("invalid {}: expected {}, not {}", name, expected, name_of_type(value)).c_str());
}

}  // namespace vitrine::python
