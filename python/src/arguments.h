// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"

// What Python callers pass: texts, ids, indices and arrays in the types that they have.

namespace vitrine::python {
namespace nb = nanobind;

bool is_prompt(PyObject* object);
bool is_batch(PyObject* object);
inline bool is_anything(PyObject*) { return true; }
/// Anything with __index__ that is neither bool nor an array with axes.
bool is_integer(PyObject* object);
/// Sequences, arrays and iterators, such as generators.
bool is_iterable(PyObject* object);

/// A text or the token ids of one.
class PromptArg : public nb::object {
  NB_OBJECT(PromptArg, nb::object, "vitrine.types.Prompt", is_prompt)
};
/// Several of them; an iterator yields several.
class BatchArg : public nb::object {
  NB_OBJECT(BatchArg, nb::object, "vitrine.types.Prompts", is_batch)
};
/// A text that is one token, or a token id.
class TokenArg : public nb::object {
  NB_OBJECT(TokenArg, nb::object, "str | int", is_anything)
};
/// One or several of them; None: none.
class TokensArg : public nb::object {
  NB_OBJECT_DEFAULT(TokensArg, nb::object, "str | int | collections.abc.Sequence[str | int] | None",
                    is_anything)
};
/// Indices along an axis; None: all.
class IndicesArg : public nb::object {
  NB_OBJECT_DEFAULT(IndicesArg, nb::object, "vitrine.types.Indices | None", is_anything)
};
/// What numpy.asarray takes.
class ArrayArg : public nb::object {
  NB_OBJECT_DEFAULT(ArrayArg, nb::object, "numpy.typing.ArrayLike", is_anything)
};

/// str(object), and the name of its type, for messages.
std::string shown(nb::handle object);
std::string name_of_type(nb::handle object);

/// What `for` takes, as a sequence. NumPy's and torch's arrays become lists of Python's own
/// numbers, which are read ten times as fast.
nb::object listed(nb::handle object);

/// Anything with __index__, such as NumPy's integers, but no bool. `name`: of the argument. Throws
/// TypeError for another type, Error (user) for a number that T does not hold.
template <typename T>
T integer_of(nb::handle value, const char* name);

/// Token ids of a prompt, a text with the tokens that Model::encode() puts around it. Throws Error
/// (user) as Tokenizer does, TypeError for anything else.
std::vector<int32_t> ids_of(const Model& model, nb::handle prompt);
Batch batch_of(const Model& model, nb::handle prompts);
/// One prompt or several.
Batch prompts_of(const Model& model, nb::handle prompts);
/// The same of a text that follows a prompt: without tokens around it.
std::vector<int32_t> continuation_of(const Model& model, nb::handle text);
Batch continuations_of(const Model& model, nb::handle texts);
/// Throws Error (user) for a text that is not one token, TypeError for neither text nor int.
int32_t token_of(const Model& model, nb::handle token);
std::vector<int32_t> tokens_of(const Model& model, nb::handle tokens);

/// Indices from an int, a range, a slice, or a sequence of these. `name`: of the argument, for
/// errors. Throws Error (user) for none at all and for a slice with a step.
template <typename T>
Indices<T> indices_of(nb::handle indices, const char* name);
extern template Indices<int> indices_of(nb::handle, const char*);
extern template Indices<int64_t> indices_of(nb::handle, const char*);

/// What numpy.asarray takes, and torch's tensors of any type, device and need of gradients, as an
/// array of NumPy's: without a copy where NumPy can share the memory. `name`: of the argument.
/// Throws TypeError for what is not an array of real numbers.
nb::object numpy_of(nb::handle array, const char* name);
/// The same as a float32 copy.
Tensor tensor_of(nb::handle array, const char* name);
/// Of each array of a sequence. Throws as tensor_of does.
std::vector<Tensor> tensors_of(nb::handle arrays, const char* name);

}  // namespace vitrine::python
