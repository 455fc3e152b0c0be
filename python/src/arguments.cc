// SPDX-License-Identifier: MIT
#include "python/src/arguments.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "base/check.h"

namespace vitrine::python {
using namespace internal;
namespace {

bool is_index(PyObject* object) {
  return PyIndex_Check(object) && !PyBool_Check(object) &&
         !PyObject_HasAttrString(object, "tolist");
}

bool is_sequence(PyObject* object) {
  return PySequence_Check(object) && !PyUnicode_Check(object) && !PyBytes_Check(object);
}

/// Number of axes of an array; -1: no array.
int64_t axes(nb::handle object) {
  if (!PyObject_HasAttrString(object.ptr(), "tolist") ||
      !PyObject_HasAttrString(object.ptr(), "ndim"))
    return -1;
  return nb::cast<int64_t>(object.attr("ndim"));
}

template <typename T>
void add_slice(Indices<T>& indices, nb::handle slice, const char* name) {
  const auto part = [&](const char* which, T otherwise) {
    const nb::object value = slice.attr(which);
    return value.is_none() ? otherwise : integer_of<T>(value, name);
  };
  if (part("step", 1) != 1)
    user_error("invalid {}={}: expected a slice without a step; use range() for one", name,
               shown(nb::repr(slice)));
  const T first = part("start", 0);
  const bool open = slice.attr("stop").is_none();
  const T stop = part("stop", 0);
  if (!open && (stop == 0 || ((first < 0) == (stop < 0) && stop <= first)))
    user_error("invalid {}={}: expected at least one index", name, shown(nb::repr(slice)));
  indices.add_range(first, open ? T{-1} : static_cast<T>(stop - 1));
}

template <typename T>
void add_indices(Indices<T>& indices, nb::handle value, const char* name) {
  if (PySlice_Check(value.ptr())) {
    add_slice(indices, value, name);
  } else if (is_index(value.ptr())) {
    indices.add(integer_of<T>(value, name));
  } else if (is_sequence(value.ptr()) || axes(value) >= 0) {
    const nb::object list = listed(value);
    if (is_index(list.ptr())) return indices.add(integer_of<T>(list, name));
    for (const nb::handle item : list) add_indices(indices, item, name);
  } else {
    indices.add(integer_of<T>(value, name));  // says what it is
  }
}

std::vector<int32_t> listed_ids(nb::handle prompt) {
  if (!is_prompt(prompt.ptr())) {
    throw nb::type_error(
        fmt::format("invalid prompt: expected str or a sequence of token ids, not {}",
                    name_of_type(prompt))
            .c_str());
  }
  std::vector<int32_t> ids;
  for (const nb::handle id : listed(prompt)) ids.push_back(integer_of<int32_t>(id, "token id"));
  return ids;
}

}  // namespace

bool is_prompt(PyObject* object) {
  if (PyUnicode_Check(object)) return true;
  const int64_t rank = axes(object);
  if (rank >= 0) return rank == 1;
  if (!is_sequence(object)) return false;
  if (PySequence_Size(object) == 0) return true;
  const nb::object first = nb::steal(PySequence_GetItem(object, 0));
  if (!first.is_valid()) PyErr_Clear();
  return first.is_valid() && PyIndex_Check(first.ptr()) && axes(first) <= 0;
}

bool is_integer(PyObject* object) {
  return PyIndex_Check(object) && !PyBool_Check(object) && axes(object) <= 0;
}

bool is_iterable(PyObject* object) {
  return PySequence_Check(object) || PyIter_Check(object) ||
         PyObject_HasAttrString(object, "tolist");
}

nb::object listed(nb::handle object) {
  if (PyObject_HasAttrString(object.ptr(), "tolist")) return object.attr("tolist")();
  return nb::borrow(object);
}

template <typename T>
T integer_of(nb::handle value, const char* name) {
  const nb::object index = nb::steal(PyNumber_Index(value.ptr()));
  if (!index.is_valid() || PyBool_Check(value.ptr())) {
    PyErr_Clear();
    throw nb::type_error(
        fmt::format("invalid {}: expected int, not {}", name, name_of_type(value)).c_str());
  }
  T number{};
  if (!nb::try_cast(index, number))
    user_error("invalid {} {}: expected an integer of {} bits{}", name, shown(index), 8 * sizeof(T),
               std::is_unsigned_v<T> ? ", not negative" : "");
  return number;
}
template int32_t integer_of(nb::handle, const char*);
template int64_t integer_of(nb::handle, const char*);
template uint64_t integer_of(nb::handle, const char*);

bool is_batch(PyObject* object) {
  const int64_t rank = axes(object);
  if (rank >= 0) return rank == 2;
  return PyIter_Check(object) || (is_sequence(object) && !is_prompt(object));
}

std::string shown(nb::handle object) {
  const nb::object text = nb::steal(PyObject_Str(object.ptr()));
  if (!text.is_valid()) throw nb::python_error();
  return nb::cast<std::string>(text);
}

std::string name_of_type(nb::handle object) { return shown(object.type().attr("__name__")); }

std::vector<int32_t> ids_of(const Model& model, nb::handle prompt) {
  if (PyUnicode_Check(prompt.ptr())) return model.encode(nb::cast<std::string>(prompt));
  return listed_ids(prompt);
}

Batch batch_of(const Model& model, nb::handle prompts) {
  Batch batch;
  for (const nb::handle prompt : listed(prompts)) batch.push_back(ids_of(model, prompt));
  return batch;
}

Batch prompts_of(const Model& model, nb::handle prompts) {
  if (is_prompt(prompts.ptr())) return {ids_of(model, prompts)};
  return batch_of(model, prompts);
}

std::vector<int32_t> continuation_of(const Model& model, nb::handle text) {
  if (PyUnicode_Check(text.ptr())) return model.tokenizer().encode(nb::cast<std::string>(text));
  return listed_ids(text);
}

Batch continuations_of(const Model& model, nb::handle texts) {
  Batch batch;
  for (const nb::handle text : listed(texts)) batch.push_back(continuation_of(model, text));
  return batch;
}

int32_t token_of(const Model& model, nb::handle token) {
  if (PyUnicode_Check(token.ptr()))
    return model.tokenizer().single_token(nb::cast<std::string>(token));
  return integer_of<int32_t>(token, "token");
}

std::vector<int32_t> tokens_of(const Model& model, nb::handle tokens) {
  if (!tokens.is_valid() || tokens.is_none()) return {};
  if (PyUnicode_Check(tokens.ptr()) || is_index(tokens.ptr())) return {token_of(model, tokens)};
  std::vector<int32_t> ids;
  for (const nb::handle token : listed(tokens)) ids.push_back(token_of(model, token));
  return ids;
}

template <typename T>
Indices<T> indices_of(nb::handle value, const char* name) {
  Indices<T> indices;
  if (!value.is_valid() || value.is_none()) return indices;
  add_indices(indices, value, name);
  if (indices.empty())
    user_error("invalid {}={}: expected at least one index, or None for all", name,
               shown(nb::repr(value)));
  return indices;
}
template Indices<int> indices_of(nb::handle, const char*);
template Indices<int64_t> indices_of(nb::handle, const char*);

nb::object numpy_of(nb::handle array, const char* name) {
  const nb::module_ numpy = nb::module_::import_("numpy");
  nb::object given = nb::borrow(array);
  if (PyObject_HasAttrString(array.ptr(), "detach")) {  // torch's
    given = given.attr("detach")().attr("cpu")();
    if (shown(given.attr("dtype")) == "torch.bfloat16") given = given.attr("float")();
  }
  const auto refuse = [&](const std::string& what) {
    throw nb::type_error(
        fmt::format("invalid {}: expected an array of numbers, not {}", name, what).c_str());
  };
  nb::object values;
  try {
    values = numpy.attr("asarray")(given);
  } catch (const nb::python_error& error) {
    if (!error.matches(PyExc_ValueError) && !error.matches(PyExc_TypeError)) throw;
    refuse(name_of_type(array) + " (" + shown(error.value()) + ")");
  }
  const auto kind = nb::cast<std::string>(values.attr("dtype").attr("kind"));
  if (std::string_view("fiub").find(kind) == std::string_view::npos)
    refuse(shown(values.attr("dtype")));
  return values;
}

Tensor tensor_of(nb::handle array, const char* name) {
  const nb::module_ numpy = nb::module_::import_("numpy");
  const nb::object values =
      numpy.attr("ascontiguousarray")(numpy_of(array, name), numpy.attr("float32"));
  const auto view = nb::cast<nb::ndarray<const float, nb::c_contig, nb::device::cpu>>(values);
  std::vector<int64_t> sizes;  // of a number: [1], which operands take alike
  for (size_t axis = 0; axis < view.ndim(); ++axis)
    sizes.push_back(static_cast<int64_t>(view.shape(axis)));
  return Tensor::from({view.data(), view.size()}, Shape(std::span<const int64_t>(sizes)));
}

std::vector<Tensor> tensors_of(nb::handle arrays, const char* name) {
  std::vector<Tensor> found;
  for (const nb::handle item : arrays) found.push_back(tensor_of(item, name));
  return found;
}

}  // namespace vitrine::python
