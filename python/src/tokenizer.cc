// SPDX-License-Identifier: MIT
#include "vitrine/tokenizer.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/src/bindings.h"
#include "python/src/immutable.h"

namespace vitrine::python {
namespace nb = nanobind;
namespace {

Tokenizer::Special special_of(bool allow) {
  return allow ? Tokenizer::Special::kAllow : Tokenizer::Special::kText;
}

/// A text as str, or as bytes for what is not UTF-8.
nb::object text_of(const std::string& bytes) {
  PyObject* text =
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape");
  return nb::steal(text);
}

}  // namespace

void bind_tokenizer(nb::module_& module) {
  nb::class_<Tokenizer> bound(module, "Tokenizer",
                              "Converts text to token ids and back. Immutable.");
  immutable(bound, "load it by its path in each process");
  bound
      .def_static(
          "load", [](const std::filesystem::path& path) { return Tokenizer::load(path); },
          nb::arg("path"), nb::sig("def load(path: vitrine.types.Path) -> Tokenizer"),
          "The tokenizer of a model directory, or of one file (tokenizer.json, vocab.json with\n"
          "merges.txt, tokenizer.model).")
      .def(
          "encode",
          [](const Tokenizer& self, const std::string& text, bool special) {
            return self.encode(text, special_of(special));
          },
          nb::arg("text"), nb::kw_only(), nb::arg("special") = false,
          "Token ids. No token is added. `special`: whether a text that spells a special token,\n"
          "such as \"<|endoftext|>\", becomes it.")
      .def(
          "encode_with_spans",
          [](const Tokenizer& self, const std::string& text, bool special) {
            std::vector<int32_t> ids;
            std::vector<std::pair<size_t, size_t>> spans;
            for (const Tokenizer::Piece& piece :
                 self.encode_with_spans(text, special_of(special))) {
              ids.push_back(piece.id);
              spans.emplace_back(piece.begin, piece.end);
            }
            return std::pair(ids, spans);
          },
          nb::arg("text"), nb::kw_only(), nb::arg("special") = false,
          "Token ids, and each token's range [begin, end) in the text's UTF-8 bytes.")
      .def(
          "decode",
          [](const Tokenizer& self, const std::vector<int32_t>& ids) {
            return text_of(self.decode(ids));
          },
          nb::arg("ids"), nb::sig("def decode(self, ids: collections.abc.Sequence[int]) -> str"),
          "The text of token ids, special tokens spelled out. Bytes that are not UTF-8 become\n"
          "surrogate escapes, as os.fsdecode makes them.")
      .def(
          "token", [](const Tokenizer& self, int32_t id) { return text_of(self.token_bytes(id)); },
          nb::arg("id"), nb::sig("def token(self, id: int) -> str"), "The text of one token.")
      .def(
          "token_bytes",
          [](const Tokenizer& self, int32_t id) {
            const std::string bytes = self.token_bytes(id);
            return nb::bytes(bytes.data(), bytes.size());
          },
          nb::arg("id"), "The bytes of one token, possibly part of a character.")
      .def(
          "single_token",
          [](const Tokenizer& self, const std::string& text) { return self.single_token(text); },
          nb::arg("text"),
          "Id of a text that is exactly one token. Error shows its tokens and the likely fix.")
      .def_prop_ro("vocab_size", &Tokenizer::vocab_size)
      .def_prop_ro("end_of_text", &Tokenizer::end_of_text, "Id of the end-of-text token, or None.")
      .def_prop_ro("description", &Tokenizer::description)
      .def_prop_ro("begin_of_text", &Tokenizer::begin_of_text,
                   "Id of the token that begins a text, or None.")
      .def("__repr__",
           [](const Tokenizer& self) { return "<vitrine.Tokenizer: " + self.description() + ">"; });
  nb::class_<StreamDecoder>(module, "StreamDecoder",
                            "Decodes tokens one by one into text of whole characters.")
      .def("__init__",
           [](StreamDecoder* self, const Model& model) {
             static_cast<void>(model.tokenizer());  // says why there is none
             new (self) StreamDecoder(model.shared_tokenizer());
           })
      .def(
          "push", [](StreamDecoder& self, int32_t id) { return text_of(self.push(id)); },
          nb::arg("id"), nb::sig("def push(self, id: int) -> str"),
          "The text that this token completes.")
      .def(
          "flush", [](StreamDecoder& self) { return text_of(self.flush()); },
          nb::sig("def flush(self) -> str"), "What was held back.");
}

}  // namespace vitrine::python
