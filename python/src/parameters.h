// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "python/src/arguments.h"
#include "python/src/hooks.h"
#include "python/src/model.h"

// The parameters of a Python function, each listed once: its name and the member of the function's
// values that an argument sets. Type and default in the signature, and the reading of a call,
// follow from the member.

namespace vitrine::python {

/// What a call passed, besides the values themselves.
class Call {
 public:
  Call() = default;
  explicit Call(const Model& model) : model_(&model) {}

  const Model& model() const { return *model_; }
  void set_model(const Model& model) { model_ = &model; }
  /// Whether the argument was passed, and is not None.
  bool has(std::string_view name) const;
  void add_given(std::string_view name) { given_.push_back(name); }
  /// A progress that lives as long as the call; also of None, because it checks for Ctrl-C.
  Progress* progress(const nb::object& report);

 private:
  const Model* model_ = nullptr;
  std::vector<std::string_view> given_;
  std::unique_ptr<PythonProgress> progress_;
};

/// Throws Error (user) for an argument that was passed although the value of the argument `choice`
/// is none of `users`, which alone use it.
void refuse_unused(const Call& call, std::string_view name, std::string_view choice,
                   std::string_view chosen, std::initializer_list<std::string_view> users);

struct Parameter {
  const char* name;
  std::string type;
  std::string otherwise;  ///< as Python writes it; empty: the argument is required
  bool takes_none = false;
  bool always = false;  ///< read also if it was not passed, as None
};

/// Names, order and types of parameters.
class Signature {
 public:
  void add(Parameter parameter) { parameters_.push_back(std::move(parameter)); }
  void set_keyword_only() { positional_ = parameters_.size(); }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// For nb::sig. `first`: "self", or empty.
  std::string text(const char* function, const char* result, const char* first = "") const;
  /// The arguments of a call in the order of the parameters, without an object for those that were
  /// not passed. Throws TypeError as Python does.
  std::vector<nb::object> match(const char* function, const nb::args& args,
                                const nb::kwargs& kwargs) const;

 private:
  std::vector<Parameter> parameters_;
  size_t positional_ = SIZE_MAX;
};

/// repr(), for defaults.
std::string represented(const nb::object& value);
[[noreturn]] void refuse_type(const char* name, const std::string& expected, nb::handle value);

/// How Python writes a C++ type: its name, a default, and how an argument becomes one.
template <typename T>
struct Conversion {
  static std::string type() {
    if constexpr (std::is_same_v<T, bool>) return "bool";
    if constexpr (std::is_integral_v<T>) return "int";
    if constexpr (std::is_floating_point_v<T>) return "float";
    if constexpr (std::is_same_v<T, std::string>) return "str";
    if constexpr (std::is_same_v<T, std::filesystem::path>) return "vitrine.types.Path";
  }
  static std::string shown(const T& value) { return represented(nb::cast(value)); }
  static T from(Call&, nb::handle value, const char* name) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      return integer_of<T>(value, name);
    } else {
      T found{};
      if (!nb::try_cast(nb::borrow(value), found)) refuse_type(name, type(), value);
      return found;
    }
  }
};

template <typename T>
struct Conversion<std::optional<T>> {
  static std::string type() { return Conversion<T>::type() + " | None"; }
  static std::string shown(const std::optional<T>&) { return "None"; }
  static std::optional<T> from(Call& call, nb::handle value, const char* name) {
    return Conversion<T>::from(call, value, name);
  }
};

template <typename T>
struct Conversion<std::vector<T>> {
  static std::string type() { return "collections.abc.Sequence[" + Conversion<T>::type() + "]"; }
  static std::string shown(const std::vector<T>& values) {
    nb::list items;
    for (const T& value : values) items.append(value);
    return represented(nb::tuple(items));
  }
  static std::vector<T> from(Call& call, nb::handle values, const char* name) {
    if (PyUnicode_Check(values.ptr()) || !is_iterable(values.ptr()))
      refuse_type(name, "a sequence of " + Conversion<T>::type(), values);
    std::vector<T> found;
    for (const nb::handle value : listed(values))
      found.push_back(Conversion<T>::from(call, value, name));
    return found;
  }
};

template <typename T>
struct Conversion<Indices<T>> {
  static std::string type() { return "vitrine.types.Indices | None"; }
  static std::string shown(const Indices<T>&) { return "None"; }
  static Indices<T> from(Call&, nb::handle value, const char* name) {
    return indices_of<T>(value, name);
  }
};

/// The place of a member of a member.
template <typename Outer, typename Inner>
auto at(Outer outer, Inner inner) {
  return [ outer, inner ](auto& values) -> auto& {
    return std::invoke(inner, std::invoke(outer, values));
  };
}

/// The parameters of a function whose arguments are read into a `Values`. A `place` is a member, or
/// a function of Values& that returns a reference to what an argument sets.
template <typename Values>
class Parameters {
 public:
  using Read = std::function<void(Call&, Values&, const nb::object&)>;

  /// With a type of its own. `otherwise`: as Python writes it; empty: required.
  Parameters& add(Parameter parameter, Read read) {
    signature_.add(std::move(parameter));
    reads_.push_back(std::move(read));
    return *this;
  }
  /// All that follow are passed by name.
  Parameters& keywords() {
    signature_.set_keyword_only();
    return *this;
  }
  /// The default is that of Values. Indices and optional values may be None.
  template <typename Place>
  Parameters& value(const char* name, Place place) {
    using C = Conversion<Of<Place>>;
    Values defaults{};
    const std::string otherwise = C::shown(std::invoke(place, defaults));
    return add({name, C::type(), otherwise, otherwise == "None"}, setting(name, place));
  }
  template <typename Place>
  Parameters& required(const char* name, Place place) {
    return add({name, Conversion<Of<Place>>::type(), ""}, setting(name, place));
  }
  /// None is the default, and leaves what Values has.
  template <typename Place>
  Parameters& maybe(const char* name, Place place) {
    return add({name, Conversion<Of<Place>>::type() + " | None", "None", true},
               setting(name, place));
  }
  /// One of several names, that of `from` and `name_of`.
  template <typename Place, typename From, typename Name>
  Parameters& named(const char* name, Place place, From from, Name name_of) {
    Values defaults{};
    const std::string otherwise = std::string(name_of(std::invoke(place, defaults)));
    return add({name, "str", represented(nb::cast(otherwise))}, naming(name, place, from));
  }
  template <typename Place, typename From>
  Parameters& maybe_named(const char* name, Place place, From from) {
    return add({name, "str | None", "None", true}, naming(name, place, from));
  }

  template <typename Place>
  Parameters& prompt(const char* name, Place place) {
    return add({name, "vitrine.types.Prompt", ""}, [place](Call& call, Values& v, const auto& o) {
      std::invoke(place, v) = ids_of(call.model(), o);
    });
  }
  template <typename Place>
  Parameters& batch(const char* name, Place place) {
    return add({name, "vitrine.types.Prompts", ""}, [place](Call& call, Values& v, const auto& o) {
      std::invoke(place, v) = batch_of(call.model(), o);
    });
  }
  /// A text or ids that follow a prompt.
  template <typename Place>
  Parameters& continuation(const char* name, Place place) {
    return add({name, "vitrine.types.Prompt | None", "None", true},
               [place](Call& call, Values& v, const auto& o) {
                 std::invoke(place, v) = continuation_of(call.model(), o);
               });
  }
  template <typename Place>
  Parameters& token(const char* name, Place place) {
    return add({name, "str | int | None", "None", true},
               [place](Call& call, Values& v, const auto& o) {
                 std::invoke(place, v) = token_of(call.model(), o);
               });
  }
  template <typename Place>
  Parameters& tokens(const char* name, Place place) {
    return add({name, "vitrine.types.Tokens | None", "None", true},
               [place](Call& call, Values& v, const auto& o) {
                 std::invoke(place, v) = tokens_of(call.model(), o);
               });
  }
  /// Kept as it is.
  template <typename Place>
  Parameters& object(const char* name, const char* type, const char* otherwise, Place place) {
    return add({name, type, otherwise},
               [place](Call&, Values& v, const nb::object& o) { std::invoke(place, v) = o; });
  }
  template <typename Place>
  Parameters& edits(Place place) {
    return add({"edits", "vitrine.types.Edits", "()", true},
               [place](Call& call, Values& v, const auto& o) {
                 std::invoke(place, v) = edits_of(call.model(), o);
               });
  }
  template <typename Place>
  Parameters& progress(Place place) {
    return add({"progress", "vitrine.types.Progress | None", "None", true, true},
               [place](Call& call, Values& v, const auto& o) {
                 std::invoke(place, v) = call.progress(o);
               });
  }

  const Signature& signature() const { return signature_; }
  /// Throws TypeError as Python does, and what the conversions throw.
  Values read(const char* function, Call& call, const nb::args& args,
              const nb::kwargs& kwargs) const {
    const std::vector<nb::object> given = signature_.match(function, args, kwargs);
    Values values{};
    for (size_t i = 0; i < given.size(); ++i) {
      const Parameter& parameter = signature_.parameters()[i];
      const bool none = !given[i].is_valid() || (parameter.takes_none && given[i].is_none());
      if (!none) call.add_given(parameter.name);
      if (!none || parameter.always) reads_[i](call, values, none ? nb::none() : given[i]);
    }
    return values;
  }

 private:
  template <typename Place>
  using Of = std::remove_cvref_t<std::invoke_result_t<Place, Values&>>;

  template <typename Place>
  static Read setting(const char* name, Place place) {
    return [name, place](Call& call, Values& values, const nb::object& given) {
      std::invoke(place, values) = Conversion<Of<Place>>::from(call, given, name);
    };
  }
  template <typename Place, typename From>
  static Read naming(const char* name, Place place, From from) {
    return [name, place, from](Call& call, Values& values, const nb::object& given) {
      std::invoke(place, values) = from(Conversion<std::string>::from(call, given, name));
    };
  }

  Signature signature_;
  std::vector<Read> reads_;
};

/// What Python calls: body(call, values) of the arguments.
template <typename Values, typename Body>
auto reading(const char* name, Parameters<Values> parameters, Body body) {
  return [name, parameters = std::move(parameters), body](const nb::args& args,
                                                          const nb::kwargs& kwargs) {
    Call call;
    Values values = parameters.read(name, call, args, kwargs);
    return body(call, values);
  };
}

}  // namespace vitrine::python
