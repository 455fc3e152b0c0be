// SPDX-License-Identifier: MIT
#include "python/src/results.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>

#include "base/atomic_file.h"
#include "base/check.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/immutable.h"

namespace vitrine::python {
using namespace internal;
namespace {

std::span<const Result> one(const AnalysisResult& self) { return {self.result.get(), 1}; }
Names names_of(const AnalysisResult& self) { return Names(self.source.tokenizer); }

nb::object to_dict(const AnalysisResult& self) {
  const std::string text = result_json(*self.result, names_of(self)).dump();
  return nb::module_::import_("json").attr("loads")(nb::bytes(text.data(), text.size()));
}

/// Every number, by its name in JSON.
std::vector<std::pair<std::string, Tensor>> arrays_of(const AnalysisResult& self) {
  std::vector<std::pair<std::string, Tensor>> arrays;
  std::map<std::string, std::string> metadata;
  add_arrays(*self.result, 0, arrays, metadata);
  for (auto& [name, values] : arrays) name = name.substr(0, name.rfind('.'));
  return arrays;
}

nb::dict arrays(const AnalysisResult& self) {
  nb::dict found;
  for (const auto& [name, values] : arrays_of(self)) found[name.c_str()] = array_of(values);
  return found;
}

Array array_named(const AnalysisResult& self, const std::string& name) {
  std::string known;
  for (const auto& [each, values] : arrays_of(self)) {
    if (each == name) return array_of(values);
    known += (known.empty() ? "" : ", ") + each;
  }
  throw nb::key_error(fmt::format("{}: this result has the arrays {}", name, known).c_str());
}

FigureFormat format_of(const std::string& name) {
  if (name == "svg") return FigureFormat::kSvg;
  if (name == "png") return FigureFormat::kPng;
  user_error("invalid format='{}': expected 'svg' or 'png'", name);
}

std::string page(const AnalysisResult& self) { return results_page(one(self), self.source); }

/// The page in a frame of its own, whose scripts cannot reach the notebook.
std::string framed(const AnalysisResult& self) {
  std::string escaped;
  for (const char c : page(self)) {
    if (c == '&')
      escaped += "&amp;";
    else if (c == '"')
      escaped += "&quot;";
    else
      escaped += c;
  }
  return "<iframe sandbox=\"allow-scripts\" style=\"width:100%;height:640px;border:0\" srcdoc=\"" +
         escaped + "\"></iframe>";
}

}  // namespace

AnalysisResult described_result(Result result, const Model& model) {
  return {std::make_shared<const Result>(std::move(result)), PageSource::of(model)};
}
AnalysisResult described_result(Result result) {
  return {std::make_shared<const Result>(std::move(result)), {}};
}

void bind_results(nb::module_& module) {
  nb::class_<AnalysisResult> bound(module, "Result", R"(Result of an analysis.

Names and values are those of the command's --json, --out and --csv. A notebook shows its page.)");
  immutable(bound, "keep its to_dict() or arrays()");
  bound.def_prop_ro("title", [](const AnalysisResult& self) { return self.result->title; })
      .def("to_dict", &to_dict, nb::sig("def to_dict(self) -> dict[str, typing.Any]"),
           "Everything, as the JSON of the command has it.")
      .def("arrays", &arrays,
           nb::sig("def arrays(self) -> dict[str, numpy.typing.NDArray[typing.Any]]"),
           "Every number as an array, by its name.")
      .def("__getitem__", &array_named, nb::arg("name"),
           nb::sig("def __getitem__(self, name: str, /) -> numpy.typing.NDArray[typing.Any]"),
           "arrays()[name]")
      .def(
          "to_csv",
          [](const AnalysisResult& self) { return results_csv(one(self), names_of(self)); },
          "A table with a row for each cell.")
      .def("html", &page, "A page that opens from disk and loads nothing.")
      .def(
          "save_html",
          [](const AnalysisResult& self, const std::filesystem::path& path) {
            write_file(path, page(self));
          },
          nb::arg("path"), nb::sig("def save_html(self, path: vitrine.types.Path) -> None"),
          "Writes the page: whole or not at all.")
      .def(
          "figure",
          [](const AnalysisResult& self, const std::string& format) {
            const std::string bytes = results_figure(one(self), format_of(format));
            return nb::bytes(bytes.data(), bytes.size());
          },
          nb::arg("format") = "svg", "The bytes of an \"svg\" or \"png\" file.")
      .def("_repr_html_", &framed)
      .def("__repr__", [](const AnalysisResult& self) {
        return "<vitrine.Result: " + self.result->title + ">";
      });
}

}  // namespace vitrine::python
